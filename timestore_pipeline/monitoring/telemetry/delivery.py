"""One PUT to a gateway, sent in a thread that can be abandoned without side effects.

A socket's timeout starts again with every byte, and does not cover name resolution: a deadline needs a thread that can
be abandoned. The waiting thread then cuts the connection, so that a gateway which sends bytes for ever does not pile up
threads.

An address may hold a user and a password. They go into a header, never into a log line or an error.
"""

from __future__ import annotations

import http.client
import queue
import socket
import threading
import urllib.request
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote_to_bytes

from timestore_pipeline.system import clock

_EXCERPT = 300  # bytes of a refusal's body, in which the gateway names the metric it rejects


@dataclass(frozen=True, slots=True)
class Address:
    """A gateway's address with its credentials apart; `shown` may be logged."""

    shown: str
    credentials: bytes = b""  # user:password, decoded

    @classmethod
    def of(cls, url: str) -> Address:
        """Everything up to the last @ belongs to the password: an unencoded one may hold any character."""
        scheme, separator, rest = url.rpartition("://") if "@" not in url else url.partition("://")
        if not separator:
            scheme, rest = "http", url
        userinfo, _, host = rest.rpartition("@")
        return cls(f"{scheme}://{host}".rstrip("/"), unquote_to_bytes(userinfo))

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {b64encode(self.credentials).decode()}"} if self.credentials else {}


class Delivery:
    """A PUT in progress; `settle` returns when it succeeded and raises otherwise."""

    def __init__(self, request: urllib.request.Request, seconds: float) -> None:
        self._deadline, self._seconds = clock.monotonic() + seconds, seconds
        self._outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._line = _Line()
        arguments = (request, seconds, self._line, self._outcome)
        threading.Thread(target=_deliver, args=arguments, name="timestore-push", daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether `settle` would return without waiting."""
        return not self._outcome.empty() or clock.monotonic() >= self._deadline

    def settle(self) -> None:
        """Wait until the deadline at most; raises `TimeoutError`, or the error of sending. To be called once."""
        try:
            error = self._outcome.get(timeout=max(self._deadline - clock.monotonic(), 0))
        except queue.Empty:
            self._line.cut()
            raise TimeoutError(f"no answer within {self._seconds:g} s") from None
        if error is not None:
            raise error


class _Line:
    """The connection that an opener made, to be cut from another thread."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None

    def plain(self, host: str, **options: Any) -> http.client.HTTPConnection:
        self._connection = http.client.HTTPConnection(host, **options)
        return self._connection

    def secure(self, host: str, **options: Any) -> http.client.HTTPSConnection:
        self._connection = connection = http.client.HTTPSConnection(host, **options)
        return connection

    def cut(self) -> None:
        """Shut the socket down, which ends a read or write that waits on it."""
        line = self._connection.sock if self._connection is not None else None
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


class _Cuttable(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Opens plain and secure connections that `_Line` can cut."""

    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._line.plain, req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._line.secure, req)


def _deliver(
    request: urllib.request.Request, seconds: float, line: _Line, outcome: queue.SimpleQueue[Exception | None]
) -> None:
    try:
        _send(urllib.request.build_opener(_Cuttable(line)), request, seconds)
    except Exception as error:  # noqa: BLE001  raised again by `settle`
        outcome.put(error)
    else:
        outcome.put(None)


def _send(opener: urllib.request.OpenerDirector, request: urllib.request.Request, seconds: float) -> None:
    """A redirect counts as a refusal: only the configured gateway gets the request. The response body is not read."""
    try:
        opener.open(request, timeout=seconds).close()
    except HTTPError as refusal:
        with refusal:
            reason = refusal.read(_EXCERPT).decode(errors="replace").strip()
        raise OSError(f"{refusal.code} {refusal.reason}" + (f": {reason}" if reason else "")) from None

"""One connection to a server, kept open between requests and opened again after any error.

http.client's connections are made faster for small requests, and safe against a server that is slow or never ends. A
request ends within three times the connection's timeout: one to connect, one to send, one until its answer is complete.
An answer that is longer than `_MOST_READ` ends the connection, whatever it consists of: heads, interim answers, chunks
or trailers.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

from timestore_pipeline.errors import InvalidInput, NotAcknowledged
from timestore_pipeline.system import clock
from timestore_pipeline.system.context_managers import Closing

_LONGEST_WAIT = 86_400.0  # seconds that a server may ask for
_USERINFO = re.compile(r"://.*@")
_PATH = re.compile(r"[!-~]*")
Body = bytes | memoryview

_SHORT = 256 << 10  # bytes of a body
_MOST_READ = 4 << 20  # bytes of an answer, its head included; a receipt that lists the longest names has two million
_SENT_AT_ONCE = 64 << 10  # bytes; TLS would apply the timeout to each 16 KiB, not to the whole body


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """`document`: empty if the body is no JSON object. `retry_after`: seconds, 0 = the answer has none."""

    status: int
    document: Mapping[str, Any]
    retry_after: float


class ServerConnection(Closing):
    """Thread-safe; requests go one after the other. A forked child has a connection of its own."""

    def __init__(self, url: str, timeout: float, ca_file: str | None = None) -> None:
        """timeout: seconds, as in `transport`. ca_file: None = the system's. Raises `InvalidInput`."""
        parts = _address(url)
        if ca_file is not None and parts.scheme != "https":
            raise InvalidInput("ca_file is given, and the address is not https://", hint="give an https:// address")
        kind = Https if parts.scheme == "https" else Http
        options: dict[str, Any] = {"context": _trusting(ca_file)} if kind is Https else {}
        self._base = parts.path.rstrip("/")
        self._where = f"{parts.scheme}://{parts.hostname}:{parts.port or kind.default_port}"
        self._make = partial(kind, parts.hostname or "", parts.port, timeout=timeout, **options)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._connection = self._make()

    def post(self, path: str, body: Body, headers: Mapping[str, str]) -> ServerAnswer:
        """Raises `NotAcknowledged` when no whole answer arrived: the request may have been executed.

        Raises `InvalidInput` for a server that does not prove who it is: nothing was sent to it.
        """
        if os.getpid() != self._process:  # forked: parent and child would mix their requests on the parent's socket
            self._begin()
        with self._lock:
            try:
                with suppress(BrokenPipeError):  # the server may have answered before it had read everything
                    self._connection.post(self._base + path, body, headers)
                response, body = self._connection.answer()
                return ServerAnswer(response.status, _document(body), _retry_after(response))
            except ssl.SSLCertVerificationError as error:
                self._connection.close()
                hint = "give the file of its CA as ca_file, or its right name in the address; or renew its certificate"
                raise InvalidInput(f"{self._where} is not trusted: {error.verify_message}", hint=hint) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._connection.close()
                reason = str(error) or type(error).__name__
                hint = "send it again with the same idempotency key: it is staged once"
                raise NotAcknowledged(f"{self._where} gave no answer: {reason}", hint=hint) from error

    def close(self) -> None:
        if os.getpid() == self._process:
            with self._lock:
                self._connection.close()


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    """Requires a valid certificate of the right name, and TLS 1.2 at least."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one
        reason = error.strerror or error
        raise InvalidInput(f"{ca_file!r} holds no CA certificates: {reason}", hint="give a PEM file") from error


def _address(url: str) -> SplitResult:
    """Raises `InvalidInput`, without a password that the address may contain."""
    hint = "give http://host:port or https://host:port, the token on its own"
    wrong = InvalidInput(f"{_USERINFO.sub('://***@', url)!r} is no address of a server", hint=hint)
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        reachable = parts.port != 0 and _PATH.fullmatch(parts.path)
    except ValueError as error:
        raise wrong from error
    if not reachable or parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise wrong
    return parts


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(response: http.client.HTTPResponse) -> float:
    """Only seconds are read; a date would need both clocks to agree."""
    value = response.getheader("Retry-After", "")
    return min(float(value), _LONGEST_WAIT) if value.isdecimal() else 0.0


class Http(http.client.HTTPConnection):
    """Over TCP."""

    _pieces: list[Body] | None = None  # of the request that is being joined; None = pieces are sent at once

    def post(self, path: str, body: Body, headers: Mapping[str, str]) -> None:
        """Send a short body in one packet with its head; http.client alone would send two.

        Servers close idle connections; a closed one is detected and replaced before anything is sent on it.
        """
        if self.sock is not None and _is_closed(self.sock.fileno()):
            self.close()
        if self.sock is None:
            self.connect()
        self._deadline = clock.monotonic() + self._seconds
        self._pieces = [] if len(body) <= _SHORT else None
        try:
            self.request("POST", path, body, dict(headers))
            pieces = self._pieces
        finally:
            self._pieces = None
        if pieces:
            self.send(b"".join(pieces))

    def send(self, data: Any) -> None:
        if self._pieces is not None:
            self._pieces.append(data)
            return
        for start in range(0, len(data), _SENT_AT_ONCE):
            _limit(self.sock, self._deadline)
            super().send(data[start : start + _SENT_AT_ONCE])

    def answer(self) -> tuple[http.client.HTTPResponse, bytes]:
        """The head and the body of the answer to `post`."""
        self.sock.settimeout(self._seconds)
        with self.getresponse() as response:  # closed also on an error, which would keep it, and so the socket
            return response, response.read(_MOST_READ)

    @property
    def _seconds(self) -> float:
        assert self.timeout is not None
        return self.timeout


class Https(Http, http.client.HTTPSConnection):
    """Over TLS."""


class _Response(http.client.HTTPResponse):
    """Read through `_Bounded`."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Bounded(self.fp.detach(), sock))


Http.response_class = _Response


class _Bounded(io.RawIOBase):
    """The bytes of one answer; raises `TimeoutError` for one that takes longer than the socket's present timeout."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw, self._socket, self._left = raw, connection, _MOST_READ
        self._deadline = clock.monotonic() + (connection.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._left == 0:
            raise http.client.HTTPException(f"its answer is longer than {_MOST_READ} bytes")
        _limit(self._socket, self._deadline)
        count: int | None = self._raw.readinto(memoryview(buffer)[: self._left])
        self._left -= count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _limit(connection: socket.socket, deadline: float) -> None:
    """Let the next call on the socket end at the deadline."""
    left = deadline - clock.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    connection.settimeout(left)


def _is_closed(connection: int) -> bool:
    """Whether the socket is readable: between two requests, only the end of the connection makes it so."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))

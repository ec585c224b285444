"""One connection to a server, kept open between requests and made anew after whatever went wrong with it."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

from timestore_pipeline.errors import InvalidInput, NotAcknowledged
from timestore_pipeline.system.context_managers import Closing

_SHORT = 256 << 10  # bytes of a body
_MOST_READ = 1 << 20  # bytes of an answer
_LONGEST_WAIT = 86_400.0  # seconds that a server may ask for
_USERINFO = re.compile(r"://.*@")
_PATH = re.compile(r"[!-~]*")


Body = bytes | memoryview


class _Http(http.client.HTTPConnection):
    """http.client's connection, without what it costs a small request and one after a pause."""

    _pieces: list[Body] | None = None  # of the request that is put together; None = they are sent as they come

    def post(self, path: str, body: Body, headers: Mapping[str, str]) -> None:
        """A short body in one packet with its head, which http.client would send apart.

        A server closes connections that rest, and that is seen before anything is sent on one.
        """
        if self.sock is not None and _has_something_to_say(self.sock.fileno()):
            self.close()
        self._pieces = [] if len(body) <= _SHORT else None
        try:
            self.request("POST", path, body, dict(headers))
            pieces = self._pieces
        finally:
            self._pieces = None
        if pieces:
            self.send(b"".join(pieces))

    def send(self, data: Any) -> None:
        if self._pieces is None:
            super().send(data)
        else:
            self._pieces.append(data)


class _Https(_Http, http.client.HTTPSConnection):
    """The same over TLS."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`document`: empty where the body is no JSON object. `retry_after`: seconds, 0 = not said."""

    status: int
    document: Mapping[str, Any]
    retry_after: float


class Connection(Closing):
    """Thread-safe; requests go one after the other. A forked child has a connection of its own."""

    def __init__(self, url: str, timeout: float) -> None:
        """timeout: seconds without a byte. Raises `InvalidInput` for an address that is none."""
        parts = _address(url)
        kind = _Https if parts.scheme == "https" else _Http
        self._base = parts.path.rstrip("/")
        self._where = f"{parts.scheme}://{parts.hostname}:{parts.port or kind.default_port}"
        self._make = partial(kind, parts.hostname or "", parts.port, timeout=timeout)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._connection = self._make()

    def post(self, path: str, body: Body, headers: Mapping[str, str]) -> Answer:
        """Raises `NotAcknowledged` when no answer came: the request may have been carried out."""
        if os.getpid() != self._process:  # forked: on the parent's socket the two would mix their requests
            self._begin()
        with self._lock:
            try:
                with suppress(BrokenPipeError):  # it may have answered before it had read all
                    self._connection.post(self._base + path, body, headers)
                response = self._connection.getresponse()
                return Answer(response.status, _document(response.read(_MOST_READ)), _retry_after(response))
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                reason = str(error) or type(error).__name__
                hint = "send it again with the same idempotency key: it is staged once"
                raise NotAcknowledged(f"{self._where} gave no answer: {reason}", hint=hint) from error

    def close(self) -> None:
        if os.getpid() == self._process:
            with self._lock:
                self._connection.close()


def _has_something_to_say(connection: int) -> bool:
    """Between two requests that can only be that it is closed."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _address(url: str) -> SplitResult:
    """Raises `InvalidInput`, without the password that may stand in it."""
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
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(response: http.client.HTTPResponse) -> float:
    """In seconds only; a date would need both clocks to agree."""
    said = response.getheader("Retry-After", "")
    return min(float(said), _LONGEST_WAIT) if said.isdecimal() else 0.0

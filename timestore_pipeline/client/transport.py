"""http.client's connections, made faster for small requests, and safe against a server that is slow or never ends.

A request ends within three times the connection's timeout: one to connect, one to send, one until its answer is
complete. An answer that is longer than `_MOST_READ` ends the connection, whatever it consists of: heads, interim
answers, chunks or trailers.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
from collections.abc import Mapping
from typing import Any

from timestore_pipeline.system import clock

Body = bytes | memoryview

_SHORT = 256 << 10  # bytes of a body
_MOST_READ = 4 << 20  # bytes of an answer, its head included; a receipt that lists the longest names has two million
_SENT_AT_ONCE = 64 << 10  # bytes; TLS would apply the timeout to each 16 KiB, not to the whole body


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

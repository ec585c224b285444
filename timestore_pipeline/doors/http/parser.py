"""h11's parser, fed in slices and with counters: no packet blocks the server for long, and framing is limited.

h11 checks the limit of the head only while the head is incomplete; here a complete head is checked as well. It also
joins a header with lines that go on with it, and accepts every version: a proxy may do neither, and then take another
length for the body's.
"""

from __future__ import annotations

import re
from typing import Any

import h11

MOST_HEAD_BYTES = 16 << 10  # of a request line with its headers
MOST_HEADERS = 100

_SLICE = 16 << 10  # bytes of a body handed to h11 at once
_HEAD_SLICE = 4 << 10  # the same of a head
_EVENTS = 32  # of one turn: about a millisecond
_FREE_CHUNKS = 4_096  # a client that sends a short line in each chunk is slow, not hostile
_CHUNK_BYTES = 64  # on average, beyond that many
_FREE_OVERHEAD = 64 << 10  # bytes around the payload: sizes, extensions, trailers
_OVERHEAD_SHARE = 4  # and one more byte for so many bytes of the payload
_FOLDED = re.compile(rb"\A(?:[^\n]*\n(?!\r?\n))+?[ \t]")  # a line before the empty one begins with a blank
_VERSIONS = (b"1.0", b"1.1")
_TOO_MANY = f"the request has more than {MOST_HEADERS} headers"


class SlicedParser(h11.Connection):
    """`refusal`: the limit that a request exceeded, if this class raised the error and not h11 itself."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MOST_HEAD_BYTES)
        self.refusal: str | None = None
        self.turn_is_over = False
        self.holds_next_request = False  # which arrived before this one was answered
        self._arrived = bytearray()
        self._events = 0  # left in this turn
        self._lines = 0  # given to h11 since the last request was complete
        self._start_body()

    def begin_turn(self) -> None:
        self._events = _EVENTS
        self.turn_is_over = False

    def receive_data(self, data: bytes) -> None:
        """Store the bytes; `next_event` parses them."""
        self._arrived += data

    def next_event(self) -> Any:
        """Raises `RemoteProtocolError`, also for an exceeded limit. Returns NEED_DATA also at the end of the turn."""
        if self._events == 0:
            self.turn_is_over = True
            return h11.NEED_DATA
        self._events -= 1
        event = self._parsed()
        while event is h11.NEED_DATA and self._arrived:
            self._feed()
            event = self._parsed()
        self.holds_next_request = event is h11.PAUSED
        self._count(event)
        return event

    def _parsed(self) -> Any:
        if self.their_state is h11.IDLE and _FOLDED.match(self.trailing_data[0]):
            self._refuse("a header goes on in the next line")
        return super().next_event()

    def _feed(self) -> None:
        in_head = self.their_state is h11.IDLE
        if in_head and self._lines > MOST_HEADERS + 1:
            self._refuse(_TOO_MANY)
        size = _HEAD_SLICE if in_head else _SLICE
        piece = bytes(self._arrived[:size])
        del self._arrived[:size]
        self._lines += piece.count(b"\n") if in_head else 0
        self._body += len(piece)
        super().receive_data(piece)

    def _count(self, event: Any) -> None:
        if isinstance(event, h11.Request):
            self._check_head(event)
            self._start_body()
        elif isinstance(event, h11.Data):
            self._payload += len(event.data)
            self._chunks += event.chunk_start
            if self._chunks > _FREE_CHUNKS + self._payload // _CHUNK_BYTES:
                self._refuse("the body comes in too many small chunks")
            if self._body - self._payload > _FREE_OVERHEAD + _SLICE + self._payload // _OVERHEAD_SHARE:
                self._refuse("the body's chunks are framed by too many bytes")

    def _check_head(self, request: h11.Request) -> None:
        if request.http_version not in _VERSIONS:
            self._refuse("this server speaks HTTP/1.1")
        size = len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
        if size > MOST_HEAD_BYTES:
            self._refuse(f"the request's head is longer than {MOST_HEAD_BYTES} bytes")
        if len(request.headers) > MOST_HEADERS:
            self._refuse(_TOO_MANY)

    def _start_body(self) -> None:
        self._lines = self._body = self._payload = self._chunks = 0

    def _refuse(self, why: str) -> None:
        self.refusal = why
        raise h11.RemoteProtocolError(why)

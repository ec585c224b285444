"""Messages between the server and its reader processes: a frame is a small JSON object, followed by bytes.

Each side writes whole frames, one at a time. The server's side has a deadline, because a hostile body may control the
reader process. A process that dies closes its pipes; a truncated frame is an `EOFError`.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from timestore_pipeline.system import clock

Document = Mapping[str, Any]
Data = bytes | memoryview

_SIZES = struct.Struct(">QQ")  # bytes of the object, and of the data behind it
_ALIGNED = 64  # bytes: alignment of Arrow data
_LARGEST_DOCUMENT = 1 << 20
_FIRST_READ = 64 << 10
_PIPE_BYTES = 1 << 20  # capacity of a pipe, if the system allows it


def write_frame(stream: BinaryIO, document: Document, data: Data = b"") -> None:
    """Has no deadline: for a reader process, which may wait for its server."""
    stream.write(_head(document, data))
    stream.write(data)
    stream.flush()


def read_frame(stream: BinaryIO) -> tuple[Document, bytes] | None:
    """None at the end of the stream."""
    head = stream.read(_SIZES.size)
    if len(head) < _SIZES.size:
        return None
    document, data = _SIZES.unpack(head)
    return json.loads(stream.read(document)), stream.read(data)


class FramedPipes:
    """The server's side."""

    def __init__(self, to_process: int, from_process: int, most_bytes: int) -> None:
        """File descriptors; most_bytes: of one answer's data."""
        self._to, self._from, self._most_bytes = to_process, from_process, most_bytes
        for pipe in (to_process, from_process):
            os.set_blocking(pipe, False)
            with suppress(OSError, AttributeError):  # not Linux, or beyond this user's limit for pipes
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(to_process, select.POLLOUT)
        self._readable.register(from_process, select.POLLIN)

    def send(self, document: Document, data: Data, deadline: float) -> None:
        """deadline: on the monotonic clock. Raises `TimeoutError`, `BrokenPipeError`."""
        left = memoryview(_head(document, data) + data)
        while left:
            try:
                left = left[os.write(self._to, left) :]
            except BlockingIOError:
                _wait(self._writable, deadline)

    def receive(self, deadline: float) -> tuple[Document, memoryview]:
        """Raises `TimeoutError`, `EOFError`, and `ValueError` for a malformed or an oversized frame."""
        begun = self._read(_FIRST_READ, deadline)
        while len(begun) < _SIZES.size:
            begun += self._read(_FIRST_READ, deadline)
        document, data = _SIZES.unpack_from(begun)
        if document > _LARGEST_DOCUMENT or data > self._most_bytes:
            raise ValueError(f"a reader process sends {document} and {data} bytes")
        start = _SIZES.size + document
        whole = memoryview(self._rest(begun, start + data, deadline))
        return json.loads(bytes(whole[_SIZES.size : start])), whole[start:]

    def _rest(self, begun: bytes, size: int, deadline: float) -> bytes | bytearray:
        if len(begun) >= size:
            return begun
        whole = bytearray(size)
        whole[: len(begun)] = begun
        left = memoryview(whole)[len(begun) :]
        while left:
            _wait(self._readable, deadline)
            count = os.readv(self._from, [left])
            if not count:
                raise EOFError
            left = left[count:]
        return whole

    def _read(self, most: int, deadline: float) -> bytes:
        _wait(self._readable, deadline)
        found = os.read(self._from, most)
        if not found:
            raise EOFError
        return found


def _head(document: Document, data: Data) -> bytes:
    """The sizes and the object, padded with blanks so that Arrow can read the data in place."""
    text = json.dumps(document).encode()
    text += b" " * (-(_SIZES.size + len(text)) % _ALIGNED)
    return _SIZES.pack(len(text), len(data)) + text


def _wait(poll: select.poll, deadline: float) -> None:
    if not poll.poll(max(0.0, deadline - clock.monotonic()) * 1000):
        raise TimeoutError

"""Unpacks gzip into a file, with limits against decompression bombs.

Runs in the reader process, so that it takes no processor time from the server.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from timestore_pipeline.errors import BodyTooLarge, UnreadableInput

_CHUNK = 64 << 10
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # tells zlib to expect a gzip header, and a checksum at the end
_MOST_RATIO = 200  # of unpacked to sent bytes; sensor readings as text shrink to a twentieth, zeros to a thousandth
_MOST_MEMBERS = 2_000  # some tools begin a member each 64 KiB
_HARMLESS = 4 << 20  # bytes; below this the ratio is not checked
_HINT = "compress it again, as one whole gzip file"


def gunzip(source: Path, target: Path, most: int) -> None:
    """Unpack all members of a gzip file.

    most: bytes. Raises `BodyTooLarge` for more, and for more than 200 times the bytes sent; `UnreadableInput` for a
    file that is damaged, truncated or followed by other data.
    """
    limit = min(most, max(_MOST_RATIO * source.stat().st_size, _HARMLESS))
    written = 0
    with source.open("rb") as packed, target.open("wb") as file:
        for chunk in _unpacked(packed):
            written += len(chunk)
            if written > limit:
                raise _too_large(limit, most)
            file.write(chunk)


def _unpacked(packed: BinaryIO) -> Iterator[bytes]:
    """Pieces of at most `_CHUNK` bytes, of one member after the other."""
    waiting = packed.read(_CHUNK)
    members = 0
    try:
        while waiting:
            members += 1
            if members > _MOST_MEMBERS:
                raise BodyTooLarge(f"the gzip body has more than {_MOST_MEMBERS} members", hint=_HINT)
            member = zlib.decompressobj(_GZIP_WINDOW)
            while not member.eof:
                chunk = member.decompress(waiting, _CHUNK)
                waiting = member.unconsumed_tail or member.unused_data or packed.read(_CHUNK)
                if not (chunk or waiting or member.eof):
                    raise UnreadableInput("the gzip body ends too early", hint=_HINT)
                yield chunk
    except zlib.error as error:
        raise UnreadableInput(f"the body is not valid gzip: {error}", hint=_HINT) from error


def _too_large(limit: int, most: int) -> BodyTooLarge:
    if limit < most:
        return BodyTooLarge(
            f"the body unpacks to more than {_MOST_RATIO} times its size", hint="send it without compression"
        )
    return BodyTooLarge(
        f"the body unpacks to more than {most} bytes",
        hint="send smaller batches, or raise TIMESTORE_API_MAX_BODY_BYTES",
    )

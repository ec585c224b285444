"""A text file as UTF-8 without a byte order mark, whatever it was written in, in pieces of bounded size."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.model.refusals import unreadable_file

_WIDE_MARKS = {  # the longer ones first: UTF-32's little-endian mark begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
UTF8 = "utf-8"
_SETTING = "set csv.encoding"


def utf8_pieces(path: Path, piece_bytes: int, encoding: str | None = None) -> Iterator[bytes]:
    """The file, unpacked if its name ends in `.gz`. Bytes that are no UTF-8 pass if `encoding` is None or UTF-8.

    Raises `UnreadableInput` for bytes that are not the declared encoding, and for the mark of one that is not declared.
    """
    with pa.input_stream(str(path)) as file:
        first = file.read(piece_bytes)
        _check_mark(path, first, encoding)
        if encoding is None or codecs.lookup(encoding).name == UTF8:
            yield first.removeprefix(codecs.BOM_UTF8)
            while piece := file.read(piece_bytes):
                yield piece
            return
        yield from _transcoded(path, file, first, encoding, piece_bytes)


def lines_in(text: bytes) -> int:
    """Line ends in `text`: LF, CR LF or CR."""
    ends = text.count(b"\n")
    return ends + (text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else 0)


def _check_mark(path: Path, first: bytes, encoding: str | None) -> None:
    if encoding is not None:
        return
    found = next((name for mark, name in _WIDE_MARKS.items() if first.startswith(mark)), None)
    if found is not None:
        problem = f"it begins with the byte order mark of {found.upper()}"
        hint = f'{_SETTING} to "{found}" for the dataset, or for this input'
        raise unreadable_file(path, "line 1, column 1", problem, hint)


def _transcoded(path: Path, file: pa.NativeFile, piece: bytes, encoding: str, piece_bytes: int) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    while True:
        final = not piece
        try:
            text = decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(encoding, "ignore").encode()
            hint = f"{_SETTING} to what the file is written in"
            problem = f"{error.object[error.start : error.end]!r} is no {encoding} ({error.reason})"
            raise unreadable_file(path, f"line {line + lines_in(before)}", problem, hint) from error
        converted = text.removeprefix("\ufeff").encode() if line == 1 else text.encode()
        if converted:
            yield converted
        if final:
            return
        line += lines_in(converted)
        piece = file.read(piece_bytes)

"""A text file as UTF-8 without a byte order mark, whatever it was written in, in pieces of bounded size."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.model.refusals import unreadable_file

UTF8 = "utf-8"
_MARKS = {  # the longer ones first: UTF-32's little-endian mark begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: UTF8,
}
_SETTING = "set csv.encoding"
ENCODING_HINT = f'{_SETTING} to what the file is written in, such as "windows-1252"'
_WITHOUT_MARK = 'without a byte order mark that is "{0}-le" or "{0}-be"'


def utf8_pieces(path: Path, piece_bytes: int, encoding: str | None = None, hint: str | None = None) -> Iterator[bytes]:
    """The file, unpacked if its name ends in `.gz`. Bytes that are no UTF-8 pass if `encoding` is None or UTF-8.

    hint: for a file in another encoding; None = it can be declared. Raises `UnreadableInput` for bytes that are not the
    declared encoding, and for the mark of another one.
    """
    with pa.input_stream(str(path)) as file:
        first = file.read(piece_bytes)
        _check_mark(path, first, encoding or UTF8, hint)
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


def _check_mark(path: Path, first: bytes, encoding: str, hint: str | None) -> None:
    mark = next((mark for mark in _MARKS if first.startswith(mark)), b"")
    if not _is_mark_in(encoding, mark):
        found = _MARKS[mark]
        problem = f"it begins with the byte order mark of {found.upper()}, and is read as {encoding}"
        can_be_said = f'{_SETTING} to "{found}" for the dataset, or for this input'
        raise unreadable_file(path, "line 1, column 1", problem, hint or can_be_said)


def _is_mark_in(encoding: str, mark: bytes) -> bool:
    """Whether it is a mark in that encoding, too, and not other text or none; true without a mark."""
    try:
        return mark.decode(encoding) in ("", "\ufeff")
    except UnicodeError:
        return False


def _transcoded(path: Path, file: pa.NativeFile, piece: bytes, encoding: str, piece_bytes: int) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    while True:
        final = not piece
        try:
            text = decoder.decode(piece, final)
            converted = text.removeprefix("\ufeff").encode() if line == 1 else text.encode()
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(encoding, "ignore").encode()
            problem = f"{error.object[error.start : error.end]!r} is no {encoding} ({error.reason})"
            raise unreadable_file(path, f"line {line + lines_in(before)}", problem, ENCODING_HINT) from error
        except UnicodeError as error:  # UTF-16 without its mark; text that is half of a surrogate pair
            hint = f"{ENCODING_HINT}; {_WITHOUT_MARK.format(codecs.lookup(encoding).name)}"
            raise unreadable_file(path, f"line {line}", f"it is no {encoding} ({error})", hint) from error
        if converted:
            yield converted
        if final:
            return
        line += lines_in(converted)
        piece = file.read(piece_bytes)

"""JSON as blocks of rows: one object per line, or one array of objects, distinguished by the first character.

The text of each row is kept, so that numbers lose no digit before their type is known.

How deep the brackets of JSON text go, measured at the speed of `bytes.replace`, before any parser sees them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from timestore_pipeline.errors import InvalidData, UnreadableInput
from timestore_pipeline.ingest.formats.text_input import UTF8, utf8_pieces
from timestore_pipeline.model.canonical import DEEPEST
from timestore_pipeline.model.refusals import refused_in_file, unreadable_file

_PIECE_BYTES = 4 << 20  # read at once
_ROW_BYTES = 64 << 20  # the longest row accepted: without a limit a file without line ends would be read whole
_BRACKETS = 1 + DEEPEST  # of a row: its own, and those of a column
_BLANK = b" \t\r\n"
_BLANKS = re.compile(r"[ \t\r\n]*")
ROW_HINT = "write one JSON object per line, or one array of objects, in UTF-8"
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_TOLD = b'[]{}"'
_REST = bytes(byte for byte in range(256) if byte not in _TOLD)
_ALIKE = bytes.maketrans(b"{}", b"[]")


@dataclass(frozen=True, slots=True)
class Rows:
    """The text of some rows, a line each; `places`: where each row of the file stands, such as `line 7`."""

    lines: Sequence[bytes]
    places: Sequence[str]

    @property
    def text(self) -> bytes:
        return b"\n".join(self.lines)


def is_array(path: Path) -> bool:
    """Whether the file is an array, and not a row per line."""
    return next((piece for piece in _stripped(path) if piece), b"").startswith(b"[")


def row_blocks(path: Path) -> Iterator[Rows]:
    """All rows. Raises `UnreadableInput` or `InvalidData` that names the line."""
    for rows in _array_rows(path) if is_array(path) else _line_rows(path):
        if is_deeper(rows.text, _BRACKETS):
            raise _too_deep(path, rows)
        yield rows


def _stripped(path: Path) -> Iterator[bytes]:
    return (piece.lstrip(_BLANK) for piece in utf8_pieces(path, _PIECE_BYTES, UTF8, ROW_HINT))


def _too_deep(path: Path, rows: Rows) -> InvalidData:
    places = (place for line, place in zip(rows.lines, rows.places, strict=True) if is_deeper(line, _BRACKETS))
    where = next(places, rows.places[0])
    return refused_in_file(path, where, f"a row is nested deeper than {DEEPEST} levels", "flatten it")


def _line_rows(path: Path) -> Iterator[Rows]:
    number, carry = 1, b""
    for piece in utf8_pieces(path, _PIECE_BYTES, UTF8, ROW_HINT):
        *lines, carry = (carry + piece).split(b"\n")
        yield from _numbered(lines, number)
        number += len(lines)
        if len(carry) > _ROW_BYTES:
            raise unreadable_file(path, f"line {number}", f"it is longer than {_ROW_BYTES} bytes", ROW_HINT)
    yield from _numbered([carry], number)


def _numbered(lines: Sequence[bytes], first: int) -> Iterator[Rows]:
    found = [(line, f"line {number}") for number, line in enumerate(lines, first) if line.strip()]
    if found:
        yield Rows(*zip(*found, strict=True))


def _array_rows(path: Path) -> Iterator[Rows]:
    reader = _ArrayReader(path)
    lines, places, size = list[bytes](), list[str](), 0
    for text, place in reader.objects():
        lines.append(text)
        places.append(place)
        size += len(text)
        if size >= _PIECE_BYTES:
            yield Rows(lines, places)
            lines, places, size = [], [], 0
    if lines:
        yield Rows(lines, places)


class _ArrayReader:
    """One array, read piece by piece. `_text` is what is not passed yet, from `_position` on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pieces = utf8_pieces(path, _PIECE_BYTES, UTF8, ROW_HINT)
        self._text, self._position, self._line = "", 0, 1
        self._rest = b""  # of a character that the last piece cut
        self._decoder = json.JSONDecoder(parse_constant=_refuse, parse_int=str, parse_float=str)

    def objects(self) -> Iterator[tuple[bytes, str]]:
        """Text and place of each; raises `UnreadableInput` for anything that is not one array."""
        self._take("[")
        number = 0
        while self._next() != "]":
            if number:
                self._take(",")
                self._next()
            number += 1
            text = self._object(number)
            yield text.replace("\r", " ").replace("\n", " ").encode("utf-8", "surrogatepass"), self._last_place
        self._take("]")
        if self._next():
            raise self._broken("it goes on after the end of its array")

    def _object(self, number: int) -> str:
        self._last_place = f"line {self._line}, object {number}"
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except RecursionError:
                raise unreadable_file(self._path, self._last_place, "it is nested too deeply", "flatten it") from None
            except ValueError as error:
                if not self._more():
                    raise self._broken(str(error)) from None
                continue
            if end < len(self._text) or not self._more():
                break  # a number that ends with the piece may go on in the next
        if not isinstance(value, dict):
            kind = "a number" if isinstance(value, str) and self._text[self._position] != '"' else _NAMES[type(value)]
            raise refused_in_file(self._path, self._last_place, f"it is {kind}, not an object", ROW_HINT)
        return self._pass(end)

    def _next(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._position)  # to strip the rest would copy it, for each object
            assert blanks is not None, "it matches nothing, too"
            self._pass(blanks.end())
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._more():
                return ""

    def _take(self, mark: str) -> None:
        if (found := self._next()) != mark:
            raise self._broken(f"{mark!r} is expected, not {found!r}" if found else "it breaks off")
        self._pass(self._position + 1)

    def _pass(self, end: int) -> str:
        passed = self._text[self._position : end]
        self._line += passed.count("\n")
        self._position = end
        return passed

    def _more(self) -> bool:
        """Whether there was another piece."""
        piece = next(self._pieces, b"")
        if not piece:
            return False
        if len(self._text) - self._position > _ROW_BYTES:
            raise self._broken(f"an object is longer than {_ROW_BYTES} bytes")
        self._text = self._text[self._position :] + self._decoded(piece)
        self._position = 0
        return True

    def _decoded(self, piece: bytes) -> str:
        whole = self._rest + piece
        try:
            text, self._rest = whole.decode(), b""
        except UnicodeDecodeError as error:
            if len(whole) - error.start > 3:
                raise self._broken(f"the bytes {whole[error.start : error.end]!r} are no UTF-8") from None
            text, self._rest = whole[: error.start].decode(), whole[error.start :]
        return text

    def _broken(self, problem: str) -> UnreadableInput:
        return unreadable_file(self._path, f"line {self._line}", problem, ROW_HINT)


_NAMES = {str: "a string", list: "an array", bool: "a truth value", type(None): "null"}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; write null or a string")


def is_deeper(text: bytes, most: int) -> bool:
    """Whether brackets are nested deeper than `most`; any number of values may follow each other.

    False also for text that is no JSON, unless its brackets without a partner are as many.
    """
    left = _brackets(text)
    for _ in range(most):
        shorter = left.replace(b"[]", b"")  # the innermost level
        if len(shorter) == len(left):
            return len(left) > most
        left = shorter
    return bool(left)


def _brackets(text: bytes) -> bytes:
    """Those outside of strings, all of one kind."""
    quoted = _ESCAPED.sub(b"", text) if b"\\" in text else text
    brackets = quoted.translate(_ALIKE, _REST).replace(b'""', b"")  # most strings hold no bracket, and regexes are slow
    return _STRING.sub(b"", brackets)

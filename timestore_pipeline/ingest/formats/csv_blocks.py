"""CSV as blocks of whole records, each with the line it begins in, after a strict look at its structure.

Arrow takes a quote that is never closed for one long value, and text after a closing quote for a part of it. So blocks
that hold a quote go through Python's strict reader first, which also tells where a record ends; all others can be cut
at any line end, and Arrow counts their fields.
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from timestore_pipeline.errors import InvalidData, UnreadableInput
from timestore_pipeline.ingest.formats.text_input import ENCODING_HINT, lines_in, utf8_pieces
from timestore_pipeline.model.refusals import WHOLE_FILE, unreadable_file

_PIECE_BYTES = 4 << 20  # read at once, and what one block of text costs in memory
_RECORD_BYTES = 16 << 20  # the longest record accepted: without a limit an open quote would read the whole file
_QUOTE_HINT = 'close every quote, and write a quote inside a quoted field as ""'


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """How the records of one file are written. fields: of every record."""

    path: Path
    encoding: str | None
    delimiter: str
    fields: int


@dataclass(frozen=True)
class Block:
    """Whole records. `line`: of the first, from 1."""

    line: int
    text: bytes
    delimiter: str

    def place_of(self, row: int) -> str:
        """The same for messages."""
        return f"line {self.line_of(row)}"

    def line_of(self, row: int) -> int:
        """Where a row begins; blank lines are no rows."""
        if row == 0 and self.text[:1] not in (b"\r", b"\n"):
            return self.line
        return self.line + row if self._begins is None else self._begins[row]

    @cached_property
    def _begins(self) -> array[int] | None:
        """The line in which each row begins, None = one after the other; every column asks for some of them."""
        if b'"' not in self.text and not _has_blank_lines(self.text):
            return None
        begins, line = array("Q"), self.line
        reader = csv.reader(io.StringIO(self.text.decode(), newline=""), delimiter=self.delimiter)
        for record in reader:
            if record:
                begins.append(line)
            line = self.line + reader.line_num
        return begins


def blocks(layout: CsvLayout, skip: int, line: int) -> Iterator[Block]:
    """All records after the first `skip` bytes of the text in UTF-8, which end before line `line`.

    Raises `UnreadableInput` or `InvalidData` with line and column where the structure is broken.
    """
    carry, blank = b"", 0
    for piece, last in _with_last(skip, utf8_pieces(layout.path, _PIECE_BYTES, layout.encoding)):
        text = carry + piece
        whole = _whole_records(layout, text, line, last=last)
        carry = text[len(whole) :]
        if len(carry) > _RECORD_BYTES:
            raise _refused(layout, line, 1, f"a record is longer than {_RECORD_BYTES} bytes", _QUOTE_HINT)
        if whole[:1].strip(b"\r\n") or whole.strip(b"\r\n"):  # the first spares a copy
            block = Block(line, whole, layout.delimiter)
            blank = _checked_blanks(layout, block, blank)
            yield block
        line += lines_in(whole)


def records(text: str, delimiter: str) -> Iterator[list[str]]:
    """Fields as text, empty for a blank line; raises `csv.Error`."""
    csv.field_size_limit(_RECORD_BYTES)  # of this process; Python's own limit is 128 kB
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def read_block(layout: CsvLayout, block: Block, nulls: tuple[str, ...]) -> pa.Table:
    """Every cell as text, the columns named by their positions; an unquoted cell that is one of `nulls` is null."""
    try:
        return pa.csv.read_csv(
            pa.BufferReader(block.text),
            read_options=pa.csv.ReadOptions(
                column_names=[str(position) for position in range(layout.fields)],
                use_threads=False,
                block_size=len(block.text) + 1,
            ),
            parse_options=pa.csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=b'"' in block.text),
            convert_options=pa.csv.ConvertOptions(
                default_column_type=pa.string(),
                column_types={str(position): pa.string() for position in range(layout.fields)},
                null_values=list(nulls),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        _check_records(layout, block.text.decode(), block.line)
        raise unreadable_file(layout.path, f"from line {block.line} on", error) from error


def _checked_blanks(layout: CsvLayout, block: Block, blank: int) -> int:
    """The number of an empty line that no record has followed yet, 0 = none; only in one column is it a question."""
    if layout.fields > 1 or not (blank or _has_blank_lines(block.text)):
        return 0
    begins = block.line
    reader = csv.reader(io.StringIO(block.text.decode(), newline=""), delimiter=layout.delimiter)
    for record in reader:
        if record and blank:
            hint = 'write an empty value as "", or delete the line'
            raise _refused(layout, blank, 1, "an empty line may be a value or none", hint)
        blank = blank or (0 if record else begins)
        begins = block.line + reader.line_num
    return blank


def _has_blank_lines(text: bytes) -> bool:
    return text[:1] in (b"\r", b"\n") or any(ends in text for ends in (b"\n\n", b"\n\r", b"\r\r"))


def _with_last(skip: int, pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each piece, and whether nothing follows it; of all of them the first `skip` bytes are left out."""
    before = None
    for piece in pieces:
        if before is not None:
            yield before, False
        before = piece[skip:]
        skip = max(0, skip - len(piece))
    yield before or b"", True


def _whole_records(layout: CsvLayout, text: bytes, line: int, *, last: bool) -> bytes:
    """What of `text` are whole records; all of it when nothing follows."""
    line_end = text.rfind(b"\n") + 1 or text.rfind(b"\r", 0, len(text) - 1) + 1  # a last CR may be half of a CR LF
    whole = text if last else text[:line_end]
    check_bytes(layout, whole, line)
    if b'"' not in whole:
        return whole
    decoded = whole.decode()
    return decoded[: _check_records(layout, decoded, line, last=last)].encode()


def check_bytes(layout: CsvLayout, text: bytes, line: int) -> None:
    """Refuse a byte that is no text, with its place; line: of the first byte."""
    if (nul := text.find(b"\0")) >= 0:
        hint = f'{WHOLE_FILE}; of UTF-16 every other byte is NUL: set csv.encoding to "utf-16-le" or "utf-16-be"'
        raise _bad_byte(layout, text[:nul], line, "it holds a NUL byte", hint)
    if text.isascii():
        return
    try:
        text.decode()
    except UnicodeDecodeError as error:
        bad = text[error.start : error.end]
        raise _bad_byte(layout, text[: error.start], line, f"the bytes {bad!r} are no UTF-8", ENCODING_HINT) from error


def _bad_byte(layout: CsvLayout, before: bytes, line: int, problem: str, hint: str) -> UnreadableInput:
    record = re.split(rb"[\r\n]", before)[-1]
    field = record.count(layout.delimiter.encode()) + 1
    return _refused(layout, line + lines_in(before), field, problem, hint)


def _refused(layout: CsvLayout, line: int, field: int, problem: str, hint: str = WHOLE_FILE) -> UnreadableInput:
    """field: which of the line's, from 1."""
    return unreadable_file(layout.path, f"line {line}, column {field}", problem, hint)


def _check_records(layout: CsvLayout, text: str, line: int, *, last: bool = True) -> int:
    """Characters of `text` that are whole records. Raises where it is broken; last: nothing follows it."""
    taken = whole = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for physical in io.StringIO(text, newline=""):
            taken += len(physical)
            yield physical

    csv.field_size_limit(_RECORD_BYTES)
    reader = csv.reader(lines(), delimiter=layout.delimiter, strict=True)
    while True:
        begins = reader.line_num
        try:
            record = next(reader, None)
        except csv.Error:
            if not last and _open_quote(layout, text[whole:]) is not None:
                return whole
            raise _broken(layout, text[whole:], line + begins) from None
        if record is None:
            return whole
        if record and len(record) != layout.fields:
            raise _ragged(layout, record, line + begins)
        whole = taken


def _ragged(layout: CsvLayout, record: list[str], line: int) -> UnreadableInput:
    found, mark = len(record), layout.delimiter
    hint = f"{WHOLE_FILE}; fields are separated by {mark!r}: see csv.delimiter"
    if found == layout.fields + 1 and not record[-1]:
        hint = f"the line ends with {mark!r}, which begins another field: leave it out, or name a column {found}"
    problem = f"it has {found} fields, expected {layout.fields}"
    return _refused(layout, line, min(found, layout.fields) + 1, problem, hint)


def _broken(layout: CsvLayout, text: str, line: int) -> UnreadableInput | InvalidData:
    """What is wrong with the first record of `text`."""
    opened = _open_quote(layout, text)
    if opened is None:
        field, end = _bad_field(layout, text)
        line += lines_in(text[:end].encode())
        return _refused(layout, line, field, f"{text[end:][:20]!r} follows a closing quote", _QUOTE_HINT)
    field, begin = opened
    line += lines_in(text[:begin].encode())
    problem = f"a quote is never closed: {text[begin:][:60]!r}"
    refused = _refused(layout, line, field, problem, _QUOTE_HINT)
    if lines_in(text[begin:].encode()) == 0:
        return refused  # the file may break off there
    return InvalidData(str(refused), hint=refused.hint)  # it has swallowed lines: more of the file would not mend it


def _open_quote(layout: CsvLayout, text: str) -> tuple[int, int] | None:
    """Field and position of a quote that the record opens and does not close."""
    field, position = _bad_field(layout, text)
    return (field, position) if text[position : position + 1] == '"' else None


def _bad_field(layout: CsvLayout, text: str) -> tuple[int, int]:
    """Number of the first field that is not as it should be, and how far it is."""
    mark = re.escape(layout.delimiter)
    quoted = re.compile(r'"[^"]*(?:""[^"]*)*"(?!")')
    plain = re.compile(rf'[^"{mark}\r\n][^{mark}\r\n]*|')
    field, position = 1, 0
    while True:
        found = quoted.match(text, position) or plain.match(text, position)
        assert found is not None, "an empty field always matches"
        position = found.end()
        if text[position : position + 1] != layout.delimiter:
            return field, position
        field, position = field + 1, position + 1

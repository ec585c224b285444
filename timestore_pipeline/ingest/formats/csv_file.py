"""CSV, looked at twice: once to settle the columns' types over the whole file, once for the rows.

Arrow's own reader guesses from the first block and fails when a later one disagrees. Here all cells are read as text in
both passes; those of a file of moderate size are kept from the first to the second. A column that is known or declared
is parsed as what it is; the kinds of all others are gathered first, so that no type depends on the block it is in. An
unquoted cell that is one of `csv.nulls` is null, a quoted one never is.

The header line of a CSV, and what separates its fields.

A comma, unless another mark is declared or the file can be nothing else: its header and every record of its first block
have the same number of fields, more than one, under exactly one of the candidates. Where two would do, neither is
guessed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.errors import UnreadableInput
from timestore_pipeline.ingest.formats.csv_blocks import Block, CsvLayout, blocks, check_bytes, read_block, records
from timestore_pipeline.ingest.formats.reading import Reading
from timestore_pipeline.ingest.formats.text_column import TextColumn
from timestore_pipeline.ingest.formats.text_input import utf8_pieces
from timestore_pipeline.ingest.values.notes import Note
from timestore_pipeline.model.canonical import MOST_FIELDS
from timestore_pipeline.model.refusals import quoted, refused_in_file, unreadable_file

_KEPT_BYTES = 16 << 20  # of text; its cells take about as much again
_HEAD_BYTES = 1 << 20
_CANDIDATES = ",;\t|"
_JSON = re.compile(r'\s*\[?\s*\{\s*"')  # what no header of a CSV begins with
_AS_SURROGATE = "surrogateescape"  # a byte that is no UTF-8 stays one character, and counts as one byte


class CsvFile:
    """One file. `rows`, `notes` and `tables` are what there is to know of it."""

    def __init__(self, path: Path, reading: Reading, *, keep: bool = True) -> None:
        """keep: cells of a file of moderate size in memory, until its rows are asked for.

        Raises `UnreadableInput` and `InvalidData` with line and column of what cannot be read.
        """
        self._path = path
        self._head = read_head(path, reading)
        self._layout = CsvLayout(path, reading.csv.encoding, self._head.delimiter, len(self._head.names))
        self._nulls = reading.csv.nulls
        self._columns = [self._column(name, reading) for name in self._head.names if name]
        self._check_names()
        self._most_kept = _KEPT_BYTES if keep else 0
        self._kept: list[tuple[Block, pa.Table]] | None = None  # all blocks; None = they are read from the file
        self.rows = self._look(self._columns)
        if guessed := [column for column in self._columns if column.known is not None and column.is_guessed]:
            self._look(guessed)
        for column in self._columns:
            column.settle()
        self.notes = self._notes()

    def tables(self) -> Iterator[pa.Table]:
        """All rows, block by block."""
        if self.rows == 0:
            yield pa.table({column.name: column.parse(pa.array([], pa.string())) for column in self._columns})
        for _, table in self._blocks():
            texts = zip(self._columns, self._of(self._columns, table), strict=True)
            yield pa.table({column.name: column.parse(text) for column, text in texts})

    def _notes(self) -> tuple[Note, ...]:
        found = tuple(note for column in self._columns if (note := column.note()) is not None)
        if not self._head.recognised:
            return found
        mark = self._head.delimiter
        return (Note(None, f"fields are separated by {mark!r}, which csv.delimiter does not say"), *found)

    def _column(self, name: str, reading: Reading) -> TextColumn:
        said = reading.csv.decimal
        maybe = said is None and self._head.delimiter != ","
        return TextColumn(self._path, name, reading.column(name), reading.finer, comma=said == ",", maybe_comma=maybe)

    def _check_names(self) -> None:
        """Only the first column may be without one: it may be the index of pandas, which counts the rows."""
        if _JSON.match(self._head.names[0]):
            hint = "send it as what it is: .json or .ndjson, application/json or application/x-ndjson"
            raise refused_in_file(self._path, f"line {self._head.lines}", "the header is JSON, not names", hint)
        nameless = [position for position, name in enumerate(self._head.names, 1) if not name]
        if nameless not in ([], [1]) or len(self._head.names) == len(nameless):
            where = f"line {self._head.lines}, column {nameless[-1]}"
            hint = "give every column a name"
            if nameless == [len(self._head.names)]:
                hint += f"; or leave out the {self._head.delimiter!r} at the end of the header and of every line"
            raise refused_in_file(self._path, where, "the header names no column here", hint)

    def _look(self, columns: Sequence[TextColumn]) -> int:
        rows = 0
        for block, table in self._blocks():
            if not self._head.names[0]:
                self._check_index(block, table.column(0).combine_chunks(), rows)
            for column, text in zip(columns, self._of(columns, table), strict=True):
                column.look(text, block.place_of)
            rows += table.num_rows
        return rows

    def _of(self, columns: Sequence[TextColumn], table: pa.Table) -> list[pa.Array]:
        places = {name: position for position, name in enumerate(self._head.names)}
        return [table.column(places[column.name]).combine_chunks() for column in columns]

    def _blocks(self) -> Iterator[tuple[Block, pa.Table]]:
        if self._kept is not None:
            yield from self._kept
            return
        read: list[tuple[Block, pa.Table]] = []
        size = 0
        for block in blocks(self._layout, self._head.length, self._head.lines + 1):
            found = block, read_block(self._layout, block, self._nulls)
            size += len(block.text)
            if size <= self._most_kept:
                read.append(found)
            else:
                read.clear()
            yield found
        if size <= self._most_kept:
            self._kept = read

    def _check_index(self, block: Block, cells: pa.Array, first: int) -> None:
        expected = pa.array(range(first, first + len(cells))).cast(pa.string())
        other = pc.index(pc.fill_null(pc.equal(cells, expected), False), False).as_py()
        if other >= 0:
            where = f"line {block.line_of(other)}, column 1"
            value = quoted(cells[other].as_py() or "")
            problem = f"{value} stands in a column without a name, which is no count of the rows either"
            hint = "name the column in the header, or leave it out"
            raise refused_in_file(self._path, where, problem, hint)


@dataclass(frozen=True, slots=True)
class Head:
    """names: of the columns, `""` where the header has none. length, lines: of the header in the text, as UTF-8."""

    names: Sequence[str]
    delimiter: str
    recognised: bool  # the delimiter is no comma, and was not declared
    length: int
    lines: int


def read_head(path: Path, reading: Reading) -> Head:
    """Raises `UnreadableInput` or `InvalidData` when there is no header, or its names or fields are ambiguous."""
    text, complete = _beginning(path, reading)
    if not text.strip("\r\n"):
        raise UnreadableInput(
            f"{path} has no rows, and no header line", hint="write a header line: alone it is a file without rows"
        )
    declared = reading.csv.delimiter
    delimiter = declared or _recognised(path, text, complete=complete)
    first, header, lines = _first_record(path, text, delimiter)
    recognised = declared is None and delimiter != ","
    if reading.csv.header:
        check_bytes(CsvLayout(path, reading.csv.encoding, delimiter, len(first)), header, 1)
        return Head(_checked_names(path, first, lines), delimiter, recognised, len(header), lines)
    return Head(_declared_names(path, reading, len(first)), delimiter, recognised, 0, 0)


def _beginning(path: Path, reading: Reading) -> tuple[str, bool]:
    """Whole lines, if there are any, bytes that are no UTF-8 as surrogates; and whether that is the whole file."""
    pieces = utf8_pieces(path, _HEAD_BYTES, reading.csv.encoding)
    first = next(pieces, b"")
    complete = len(first) < _HEAD_BYTES and next(pieces, None) is None
    whole = first if complete else first[: first.rfind(b"\n") + 1] or first
    return whole.decode("utf-8", _AS_SURROGATE), complete


def _recognised(path: Path, text: str, *, complete: bool) -> str:
    present = [mark for mark in _CANDIDATES if len(_first_record(path, text, mark)[0]) > 1]
    if present in ([], [","]):
        return ","
    fitting = [mark for mark in present if _separates(text, mark, complete=complete)]
    if not fitting and ("," in present or len(present) == 1):
        return present[0]  # the line that does not fit is named when the rows are read
    if len(fitting) == 1:
        return fitting[0]
    marks = " or ".join(map(repr, fitting or present))
    first = text.strip("\r\n").splitlines()[0]
    problem = f"{quoted(first)} may be separated by {marks}"
    raise refused_in_file(path, "line 1", problem, "set csv.delimiter for the dataset, or for this input")


def _separates(text: str, mark: str, *, complete: bool) -> bool:
    """Whether every record has as many fields as the header."""
    try:
        widths = [len(record) for record in records(text, mark) if record]
    except csv.Error:
        return False
    return len(set(widths if complete or len(widths) == 1 else widths[:-1])) == 1  # the last may be half a record


def _first_record(path: Path, text: str, delimiter: str) -> tuple[list[str], bytes, int]:
    """Its fields, and what of the file ends with it: the bytes, and the number of lines."""
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in io.StringIO(text, newline=""):
            taken += len(line)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter)
    try:
        first = next(record for record in reader if record)
    except csv.Error as error:
        raise unreadable_file(path, "line 1, column 1", f"the header cannot be read: {error}") from error
    return first, text[:taken].encode("utf-8", _AS_SURROGATE), reader.line_num


def _checked_names(path: Path, names: list[str], line: int) -> list[str]:
    if len(names) > MOST_FIELDS:  # before any cell is looked at, which takes half a millisecond a column
        problem = f"the header names {len(names)} columns"
        raise refused_in_file(path, f"line {line}", problem, f"send at most {MOST_FIELDS} columns")
    seen = dict[str, int]()
    for position, name in enumerate(names, 1):
        before = seen.setdefault(name.casefold(), position)
        if before != position and name:
            hint = "rename one of them: SQL engines do not tell them apart"
            same = f"the header names {quoted(name)} twice, or with another case: columns {before} and {position}"
            raise refused_in_file(path, f"line {line}, column {position}", same, hint)
    return names


def _declared_names(path: Path, reading: Reading, fields: int) -> Sequence[str]:
    names = reading.declared_names
    if len(names) != fields:
        problem = f"it has {fields} fields, and {len(names)} columns are declared ({', '.join(names):.60})"
        hint = "without a header the columns are those of schema.columns, in order: declare all of them"
        raise refused_in_file(path, "line 1", problem, hint)
    return names

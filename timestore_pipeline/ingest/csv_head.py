"""The header line of a CSV, and what separates its fields.

A comma, unless another mark is declared or the file can be nothing else: its header and every record of its first block
have the same number of fields, more than one, under exactly one of the candidates. Where two would do, neither is
guessed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from timestore_pipeline.errors import UnreadableInput
from timestore_pipeline.ingest.csv_blocks import records
from timestore_pipeline.ingest.reading import Reading
from timestore_pipeline.ingest.text_input import utf8_pieces
from timestore_pipeline.model.refusals import quoted, refused_in_file, unreadable_file

_HEAD_BYTES = 1 << 20
_CANDIDATES = ",;\t|"


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
    first, length, lines = _first_record(path, text, delimiter)
    recognised = declared is None and delimiter != ","
    if reading.csv.header:
        return Head(_checked_names(path, first, lines), delimiter, recognised, length, lines)
    return Head(_declared_names(path, reading, len(first)), delimiter, recognised, 0, 0)


def _beginning(path: Path, reading: Reading) -> tuple[str, bool]:
    """Whole lines, if there are any; and whether that is the whole file. Bad bytes are named when the rows are read."""
    pieces = utf8_pieces(path, _HEAD_BYTES, reading.csv.encoding)
    first = next(pieces, b"")
    complete = len(first) < _HEAD_BYTES and next(pieces, None) is None
    whole = first if complete else first[: first.rfind(b"\n") + 1] or first
    return whole.decode("utf-8", "replace"), complete


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


def _first_record(path: Path, text: str, delimiter: str) -> tuple[list[str], int, int]:
    """Its fields, and the bytes and lines up to its end."""
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
    return first, len(text[:taken].encode()), reader.line_num


def _checked_names(path: Path, names: list[str], line: int) -> list[str]:
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

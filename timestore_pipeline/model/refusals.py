"""Messages of refused data: each names the place, the value or type found there, and a remedy.

The place of a value in memory is its column and its row, counted from 0 in the producer's batch; of one in a file, the
file and the line. The message about a value also names the type it was read as.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timestore_pipeline.errors import InvalidData, UnreadableInput
from timestore_pipeline.system.legible import legible

SHOWN_CHARACTERS = 200  # of a value in memory, or of a type
SHOWN_IN_FILE = 60  # of a value in a file, where the rest of it can be looked up
TO_NEXT_DAY = "rounds to 24:00, which is outside a day"
TO_NEXT_DAY_HINT = "send such times in microseconds, or set schema.subMicroseconds of the dataset to truncate"
WHOLE_FILE = "check that the file is complete and its suffix right"


class UnfitValue(Exception):
    """A value that cannot be kept; the caller that knows its row turns it into `InvalidData`."""

    def __init__(self, path: str, value: str, taken_for: str, problem: str, remedy: str) -> None:
        super().__init__(path, value)
        self.path = path
        self.value = value
        self.taken_for = taken_for
        self.problem = problem
        self.remedy = remedy

    def in_row(self, row: int | range) -> InvalidData:
        return refused_value(self.path, row, self.value, self.taken_for, self.problem, self.remedy)


def refused_value(path: str, row: int | range, value: str, taken_for: str, problem: str, remedy: str) -> InvalidData:
    """`column 'v', row 3: 2.5 (double) was taken for int64, …`: problem is the rest of that sentence.

    row: several, where it is not known which of them has the value.
    """
    row = row.start if isinstance(row, range) and len(row) < 2 else row
    where = f"row {row}" if isinstance(row, int) else f"one of rows {row[0]} to {row[-1]}"
    shown = legible(value[:SHOWN_CHARACTERS])
    error = InvalidData(f"column {path!r}, {where}: {shown} was taken for {taken_for}, {problem}", hint=remedy)
    error.row = row if isinstance(row, int) else None
    return error


def refused_type(path: str, type_: object, remedy: str, problem: str = "which datasets cannot hold") -> InvalidData:
    """`column 'v' has type interval, which datasets cannot hold`."""
    return InvalidData(f"column {path!r} has type {str(type_)[:SHOWN_CHARACTERS]}, {problem}", hint=remedy)


def null_key(path: str) -> UnfitValue:
    """path: of the map."""
    return UnfitValue(f"{path}{{key}}", "null", "a key", "which no map can have", "give each entry a key")


def too_many_digits(path: str, number: int) -> UnfitValue:
    problem = "which has too few digits for it: precision would be lost"
    return UnfitValue(path, str(number), "decimal(38,0)", problem, "send such numbers as text")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a file. `place`: where its row begins, such as `line 7`; `order`: of the cells of one column."""

    place: str
    value: str
    order: int = 0


def printed(value: object) -> str:
    """A value in memory for a message; it may have no text, as an integer of thousands of digits has none in Python."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  # the class is the producer's own
        return f"a value of {type(value).__name__} that cannot be printed"


def quoted(value: str) -> str:
    """A value of a file for a message: quoted, and cut."""
    return repr(value if len(value) <= SHOWN_IN_FILE else value[:SHOWN_IN_FILE] + "…")


def refused_cell(file: Path, cell: Cell, column: str, problem: str, remedy: str) -> InvalidData:
    """`f.csv, line 7, column 'v': 'x' is no number`: problem is the rest of that sentence."""
    return refused_in_file(file, cell.place, f"{quoted(cell.value)} {problem}", remedy, column)


def refused_in_file(file: Path, place: str, problem: str, remedy: str, column: str | None = None) -> InvalidData:
    """`f.csv, line 1: …`: text that can be read and not be kept. column: None = it is about none, or about several."""
    where = place if column is None else f"{place}, column {column!r}"
    return InvalidData(f"{file}, {where}: {problem}", hint=remedy)


def unreadable_file(file: Path, place: str, problem: object, remedy: str = WHOLE_FILE) -> UnreadableInput:
    """`f.csv cannot be read: line 7, column 2: …`: text that is not what its format says."""
    return UnreadableInput(f"{file} cannot be read: {place}: {problem}", hint=remedy)

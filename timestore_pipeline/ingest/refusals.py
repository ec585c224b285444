"""How a value in text is refused: where it stands, as it stands there, what it was taken for, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timestore_pipeline.errors import InvalidData, UnreadableInput

_SHOWN_CHARACTERS = 60
WHOLE_FILE = "check that the file is complete and its suffix right"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a file. `line`: where its row begins, from 1."""

    line: int
    value: str


@dataclass(frozen=True, slots=True)
class Note:
    """What was decided about an input that its producer may not expect."""

    column: str | None  # None = all of it
    text: str


def shown(value: str) -> str:
    """A value for a message: quoted, and cut."""
    return repr(value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…")


def value_refused(path: Path, cell: Cell, column: str, problem: str, hint: str) -> InvalidData:
    """problem: continues the value, such as `is not a number`."""
    return InvalidData(f"{path}, line {cell.line}, column {column!r}: {shown(cell.value)} {problem}", hint=hint)


def structure_refused(path: Path, line: int, field: int, problem: str, hint: str = WHOLE_FILE) -> UnreadableInput:
    """field: which of the line's, from 1."""
    return UnreadableInput(f"{path} cannot be read: line {line}, column {field}: {problem}", hint=hint)

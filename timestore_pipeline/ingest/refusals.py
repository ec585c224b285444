"""How a value in text is refused: where it stands, as it stands there, what it was taken for, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timestore_pipeline.errors import InvalidData, SchemaConflict, UnreadableInput

_SHOWN_CHARACTERS = 60
WHOLE_FILE = "check that the file is complete and its suffix right"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a file. `place`: where its row begins, such as `line 7`; `order`: of the cells of one column."""

    place: str
    value: str
    order: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """What was decided about an input that its producer may not expect."""

    column: str | None  # None = all of it
    text: str


@contextmanager
def explaining(source: object, notes: Iterable[Note], first_row: int = 0) -> Iterator[None]:
    """A `SchemaConflict` raised inside names the line that gave the column its type, where that is known.

    first_row: of the batch in its file; `InvalidData` raised inside then names the file's row.
    """
    try:
        yield
    except SchemaConflict as conflict:
        note = next((note for note in notes if note.column == conflict.column), None)
        if note is not None:
            conflict.args = (f"{conflict} ({source}, {note.text})",)
        raise
    except InvalidData as error:
        if error.row is not None and first_row:
            told = str(error).replace(f", row {error.row}:", f", row {first_row + error.row}:", 1)
            error.row, error.args = first_row + error.row, (told,)
        raise


def shown(value: str) -> str:
    """A value for a message: quoted, and cut."""
    return repr(value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…")


def value_refused(path: Path, cell: Cell, column: str, problem: str, hint: str) -> InvalidData:
    """problem: continues the value, such as `is not a number`."""
    return InvalidData(f"{path}, {cell.place}, column {column!r}: {shown(cell.value)} {problem}", hint=hint)


def structure_refused(path: Path, line: int, field: int, problem: str, hint: str = WHOLE_FILE) -> UnreadableInput:
    """field: which of the line's, from 1."""
    return UnreadableInput(f"{path} cannot be read: line {line}, column {field}: {problem}", hint=hint)

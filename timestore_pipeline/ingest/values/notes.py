"""What was decided about an input that its producer may not expect, and errors that this explains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from timestore_pipeline.errors import InvalidData, SchemaConflict


@dataclass(frozen=True, slots=True)
class Note:
    """One decision."""

    column: str | None  # None = all of the input
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
            message = str(error).replace(f", row {error.row}:", f", row {first_row + error.row}:", 1)
            error.row, error.args = first_row + error.row, (message,)
        raise

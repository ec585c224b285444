"""One column of text on its way to a type: known or declared, else settled by all its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.formats.known_text import KnownColumn
from timestore_pipeline.ingest.formats.text_kinds import ColumnKinds
from timestore_pipeline.ingest.formats.text_times import TIMES, are_times, are_too_fine, round_to_next_day
from timestore_pipeline.ingest.values.notes import Note
from timestore_pipeline.model.canonical import TIMESTAMP, TIMESTAMP_UTC
from timestore_pipeline.model.dataset import SubMicroseconds
from timestore_pipeline.model.declared import Meaning
from timestore_pipeline.model.refusals import TO_NEXT_DAY, TO_NEXT_DAY_HINT, Cell, quoted, refused_cell

TOO_FINE = "has more digits than microseconds: precision would be lost"
TOO_FINE_HINT = "round the times, or set schema.subMicroseconds of the dataset to round or truncate"


@dataclass
class TextColumn:
    """Look at all cells, `settle`, then parse them. maybe_comma: the decimal mark was not declared."""

    path: Path
    name: str
    known: KnownColumn | None
    finer: SubMicroseconds
    comma: bool = False  # numbers have a decimal comma
    maybe_comma: bool = False
    only: Sequence[pa.DataType] | None = None  # types that may be found; None = any, beside string
    _seen: int = field(default=0, init=False)  # rows
    type: pa.DataType = field(default_factory=pa.null, init=False)
    _kinds: ColumnKinds = field(init=False)
    _with_comma: ColumnKinds = field(init=False)
    _unreadable: Cell | None = field(default=None, init=False)  # as the known type
    _too_fine: Cell | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._kinds = ColumnKinds(comma=self.comma)
        self._with_comma = ColumnKinds(comma=True)

    @property
    def is_guessed(self) -> bool:
        """Whether its cells decide: nothing is known, or some cell is not of the known type."""
        return self.known is None or self._unreadable is not None

    def look(self, text: pa.Array, place_of: Callable[[int], str]) -> None:
        """Take note of more cells. Raises `InvalidData` for one that is not of the declared type."""
        cells = text.drop_null()
        places = pc.indices_nonzero(text.is_valid()) if text.null_count else None

        def locate(index: int) -> Cell:
            row = index if places is None else places[index].as_py()
            return Cell(place_of(row), cells[index].as_py(), self._seen + row)

        if self.is_guessed:
            self._kinds.look(cells, locate)
            if self.maybe_comma:
                self._with_comma.look(cells, locate)
        elif len(cells):
            self._look_as_known(cells, locate)
        self._seen += len(text)

    def settle(self) -> None:
        """Decide the type. Raises `InvalidData` for times that are too fine, and for what may be decimal commas."""
        if self.known is not None and self._unreadable is None:
            self.type = self.known.type
        else:
            decimal = self.known is not None and pa.types.is_decimal(self.known.type)
            found = self._kinds.type(prefer_decimal=decimal)
            self.type = found if self._may_be(found) else pa.string()
            if self.type in TIMES:
                self._too_fine = self._kinds.too_fine
            self._refuse_commas()
        if self._too_fine is not None and self.finer is SubMicroseconds.REFUSE:
            raise refused_cell(self.path, self._too_fine, self.name, TOO_FINE, TOO_FINE_HINT)

    def parse(self, text: pa.Array) -> pa.Array:
        """Cells as the settled type."""
        if pa.types.is_null(self.type):
            return pa.nulls(len(text))
        if pa.types.is_nested(self.type) and text.null_count == len(text):
            return pa.nulls(len(text), self.type)  # no text can be cast to it
        known = None if self.is_guessed else self.known
        return (known or KnownColumn(self.type, comma=self.comma)).parse(text, self.finer)

    def note(self) -> Note | None:
        """What its producer should know."""
        if self._unreadable is not None and self.known is not None:
            cell = self._unreadable
            text = f"{cell.place} has {quoted(cell.value)}, and the column is {self.known.description}"
            return Note(self.name, f"column {self.name!r}: {text}")
        return self._kinds.note(self.name) if self.known is None else None

    def _look_as_known(self, cells: pa.Array, locate: Callable[[int], Cell]) -> None:
        assert self.known is not None, "asked by look()"
        other = pc.index(self.known.reads(cells), False).as_py()
        if other >= 0 and self.known.declared:
            raise self._not_as_declared(locate(other), self.known)
        if other >= 0:
            self._unreadable = locate(other)
            return
        self.known = self.known.with_fractions_of(cells)
        if self.known.is_time and self._too_fine is None:
            of_day = self.known.meaning is Meaning.TIME
            fine = pc.index(are_too_fine(cells, of_day=of_day), True).as_py()
            self._too_fine = None if fine < 0 else locate(fine)
        if self.known.meaning is Meaning.TIME and self.finer is SubMicroseconds.ROUND:
            self._refuse_next_day(cells, locate)

    def _refuse_next_day(self, cells: pa.Array, locate: Callable[[int], Cell]) -> None:
        found = pc.index(round_to_next_day(cells), True).as_py()
        if found >= 0:
            raise refused_cell(self.path, locate(found), self.name, TO_NEXT_DAY, TO_NEXT_DAY_HINT)

    def _not_as_declared(self, cell: Cell, known: KnownColumn) -> InvalidData:
        hint = "correct the value, or declare another type for the column: `timestore datasets set` (schema.columns)"
        if known.type == TIMESTAMP_UTC and are_times(pa.array([cell.value]), TIMESTAMP)[0].as_py():
            hint = "write the offset, set schema.localTimestamps to utc, or declare local_timestamp (schema.columns)"
        return refused_cell(self.path, cell, self.name, f"cannot be read: the column is {known.description}", hint)

    def _may_be(self, found: pa.DataType) -> bool:
        return self.only is None or pa.types.is_null(found) or found in self.only

    def _refuse_commas(self) -> None:
        if not (self.maybe_comma and pa.types.is_string(self.type)):
            return
        found = self._with_comma.type()
        if pa.types.is_floating(found) or pa.types.is_decimal(found):
            cell = self._kinds.first_text
            assert cell is not None, "without one it would not be text"
            problem = "may be a number with a decimal comma, or text; fields are not separated by commas here"
            hint = 'set csv.decimal to "," for numbers, to "." to keep such cells as text'
            raise refused_cell(self.path, cell, self.name, problem, hint)

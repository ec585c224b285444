"""What the cells of a column are, gathered over a whole file, and the type that follows for a column that is new.

A type is given only where every cell is of one kind and nothing of any is lost; everything else is text, and where
nearly all cells were of one kind, a note says which one was not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.ingest.formats.numbers import Numbers, are_numbers, first_not_kept, numbers_of, with_point
from timestore_pipeline.ingest.formats.text_times import are_times, are_too_fine
from timestore_pipeline.ingest.values.notes import Note
from timestore_pipeline.model.canonical import TIMESTAMP, TIMESTAMP_UTC
from timestore_pipeline.model.refusals import Cell, quoted

Locate = Callable[[int], Cell]

_SAMPLE = 8  # cells that rule out most kinds before a whole block is looked at
_ENOUGH = 1_000  # cells that show a column to be text
_OTHER_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[ T]\d{1,2}:.*)?")
_TRUTH = ("true", "false"), ("True", "False"), ("TRUE", "FALSE")


class Kind(StrEnum):
    """What a cell is taken for."""

    NUMBER = "number"
    TRUTH = "truth value"
    DATE = "date"
    LOCAL = "time without offset"
    INSTANT = "instant"
    TEXT = "text"


_TIME_TYPES = {Kind.DATE: pa.date32(), Kind.LOCAL: TIMESTAMP, Kind.INSTANT: TIMESTAMP_UTC}
_PARSED = tuple(kind for kind in Kind if kind is not Kind.TEXT)


class ColumnKinds:
    """One column. comma: its numbers have a decimal comma."""

    def __init__(self, *, comma: bool = False) -> None:
        self._comma = comma
        self._counts = Counter[Kind]()
        self._first = dict[Kind, Cell]()
        self._numbers = Numbers()
        self._truths = set[str]()
        self._beyond: Cell | None = None  # a number that a double would change
        self.too_fine: Cell | None = None  # a time with more digits than microseconds

    def look(self, cells: pa.Array, locate: Locate) -> None:
        """Take note of more cells, none of them null; `locate` finds one by its position."""
        if len(cells) == 0 or self._is_text():
            return
        if any(self._all(kind, cells[:_SAMPLE]) and self._add_all(kind, cells, locate) for kind in _PARSED):
            return
        if len(cells) > _ENOUGH:
            self._split(cells[:_ENOUGH], locate)
            if self._is_text():
                return
            cells, locate = cells[_ENOUGH:], _shifted(locate)
        self._split(cells, locate)

    def type(self, *, prefer_decimal: bool = False) -> pa.DataType:
        """The type of the column: null when it has no cell, string when no other keeps all of them."""
        kinds = frozenset(self._counts)
        if not kinds:
            return pa.null()
        if kinds == {Kind.NUMBER}:
            return self._numbers.type(prefer_decimal=prefer_decimal) or pa.string()
        if kinds == {Kind.TRUTH}:
            return pa.bool_() if any(self._truths <= set(spelling) for spelling in _TRUTH) else pa.string()
        if kinds <= {Kind.DATE, Kind.LOCAL}:
            return TIMESTAMP if Kind.LOCAL in kinds else pa.date32()
        return TIMESTAMP_UTC if kinds == {Kind.INSTANT} else pa.string()

    @property
    def first_text(self) -> Cell | None:
        """The first cell that is nothing but text."""
        return self._first.get(Kind.TEXT)

    def note(self, column: str) -> Note | None:
        """Why the column is text, if that may come as a surprise."""
        if not pa.types.is_string(self.type()):
            return None
        reason = self._odd_one() or self._other_dates()
        return None if reason is None else Note(column, f"column {column!r} is text: {reason}")

    def _odd_one(self) -> str | None:
        """Where at least half of the cells are of one kind: the first that is not."""
        half = self._counts.total() / 2
        kind = next((kind for kind in _PARSED if self._counts[kind] >= half), None)
        if kind is None:
            return None
        others = [cell for other, cell in self._first.items() if other is not kind]
        if not others:
            return self._why_one_kind_is_text(kind)
        cell = min(others, key=lambda cell: cell.order)
        return f"{cell.place} has {quoted(cell.value)}, and {self._counts[kind]} cells hold a {kind}"

    def _why_one_kind_is_text(self, kind: Kind) -> str:
        if kind is Kind.TRUTH:
            return f"truth values are spelled in several ways ({', '.join(sorted(self._truths))})"
        cell = self._beyond or self._first[Kind.NUMBER]
        return f"{cell.place} has {quoted(cell.value)}, and no type of number keeps every digit of the column"

    def _other_dates(self) -> str | None:
        cell = self._first.get(Kind.TEXT)
        if cell is None or _OTHER_DATE.fullmatch(cell.value) is None:
            return None
        return f"{cell.place} has {quoted(cell.value)}, which looks like a date or time but is not ISO 8601"

    def _is_text(self) -> bool:
        """Most cells are: then the column stays text, whatever comes, and no note is needed."""
        total = self._counts.total()
        return total >= _ENOUGH and self._counts[Kind.TEXT] * 2 > total

    def _split(self, cells: pa.Array, locate: Locate) -> None:
        rest = pa.array([True] * len(cells), pa.bool_())
        for kind in _PARSED:
            mask = self._are(kind, cells)
            self._add_some(kind, cells, mask, locate)
            rest = pc.and_(rest, pc.invert(mask))
        self._add_some(Kind.TEXT, cells, rest, locate)

    def _add_some(self, kind: Kind, cells: pa.Array, mask: pa.BooleanArray, locate: Locate) -> None:
        places = pc.indices_nonzero(mask)
        if len(places):
            self._add_all(kind, cells.take(places), lambda index: locate(places[index].as_py()))

    def _add_all(self, kind: Kind, cells: pa.Array, locate: Locate) -> bool:
        """Take note of the cells if all of them are of this kind; whether they are."""
        if kind is not Kind.NUMBER and not self._all(kind, cells):
            return False
        if kind is Kind.NUMBER and not self._add_numbers(cells, locate):
            return False
        self._counts[kind] += len(cells)
        if kind not in self._first:
            self._first[kind] = locate(0)
        if kind is Kind.TRUTH:
            self._truths.update(pc.unique(cells).to_pylist())
        elif kind in _TIME_TYPES and self.too_fine is None:
            fine = pc.index(are_too_fine(cells), True).as_py()
            self.too_fine = None if fine < 0 else locate(fine)
        return True

    def _add_numbers(self, cells: pa.Array, locate: Locate) -> bool:
        plain = with_point(cells) if self._comma else cells
        found = numbers_of(plain)
        if found is None:
            return False
        if self._beyond is None and not found.in_double and (place := first_not_kept(plain)) is not None:
            self._beyond = locate(place)
        self._numbers |= found
        return True

    def _all(self, kind: Kind, cells: pa.Array) -> bool:
        return bool(pc.all(self._are(kind, cells)).as_py())

    def _are(self, kind: Kind, cells: pa.Array) -> pa.BooleanArray:
        if kind is Kind.TEXT:
            return pa.array([True] * len(cells), pa.bool_())
        if kind is Kind.NUMBER:
            return are_numbers(with_point(cells) if self._comma else cells)
        if kind is Kind.TRUTH:
            return pc.is_in(cells, pa.array([word for spelling in _TRUTH for word in spelling]))
        return are_times(cells, _TIME_TYPES[kind])


def _shifted(locate: Locate) -> Locate:
    return lambda index: locate(index + _ENOUGH)

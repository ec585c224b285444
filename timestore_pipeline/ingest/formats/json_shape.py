"""The shape of JSON values at every depth, gathered over all rows, and the Arrow type that keeps them.

A path has one kind of value, or null. Its numbers are int64, or float64 where doubles keep every digit of all of them;
others are refused by name, unless the dataset knows the path as a decimal, which keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.formats.json_rows import Fraction
from timestore_pipeline.ingest.formats.numbers import keeps
from timestore_pipeline.ingest.formats.text_times import TIMES
from timestore_pipeline.model.canonical import MOST_FIELDS
from timestore_pipeline.model.refusals import SHOWN_IN_FILE, quoted, refused_in_file

_DIGITS = 38
_IN_DOUBLE = 15  # characters: any number so short is kept by a double
_EXACT = 2**53
_DIGITS_HINT = "write such numbers as strings, or declare the column decimal before (schema.columns)"


_KINDS = (
    (pa.types.is_boolean, "truth value"),
    (pa.types.is_integer, "number"),
    (pa.types.is_floating, "number"),
    (pa.types.is_string, "string"),
    (pa.types.is_struct, "object"),
    (pa.types.is_list, "list"),
)


class MixedKinds(Exception):
    """Two kinds of value at one path, in blocks of which only the types are known."""


@dataclass(slots=True)
class Shape:
    """What is at one path. known: the dataset's type there, None = unknown."""

    path: str
    level: int  # of nesting: 0 = a row, 1 = a column
    known: pa.DataType | None = None
    kind: str | None = None  # None = nothing but null so far
    place: str = ""  # of the first value
    whole: bool = True  # all numbers are int64
    beyond: tuple[str, str] | None = None  # place and text of the first number that a double would change
    digits: int = 0  # most before the point, where a decimal is known
    places: int = 0
    fields: dict[str, Shape] = field(default_factory=dict)  # of an object
    element: Shape | None = None  # of a list

    def add(self, file: Path, value: Any, place: str) -> None:
        """Take note of a value; `InvalidData` when it is of another kind than the ones before."""
        if value is None:
            return
        kind = kind_of(value)
        if self.kind is None:
            self.kind, self.place = kind, place
        elif self.kind != kind:
            raise self._mixed(file, value, kind, place) if self.place else MixedKinds
        self._add_inner(file, value, kind, place)

    def _add_inner(self, file: Path, value: Any, kind: str, place: str) -> None:
        if kind == "object":
            if max(len(value), len(self.fields)) > MOST_FIELDS:
                problem = f"an object has more than {MOST_FIELDS} keys, in one row or in all together"
                hint = "send what the keys say as values, in rows of their own"
                raise refused_in_file(file, place, problem, hint, self.path or None)
            for name, inner in value.items():
                self.at(name).add(file, inner, place)
        elif kind == "list":
            for inner in value:
                self.item().add(file, inner, place)
        elif kind == "number":
            self._add_number(value, place)

    def add_type(self, type_: pa.DataType) -> None:
        """The same for values of which only the Arrow type is known, whose numbers doubles keep."""
        kind = _kind_of_type(type_)
        if kind is None:
            return
        if self.kind not in (None, kind):
            raise MixedKinds
        self.kind = kind
        if kind == "object":
            for inner in type_:
                self.at(inner.name).add_type(inner.type)
        elif kind == "list":
            self.item().add_type(type_.value_type)
        elif kind == "number":
            self.whole = self.whole and pa.types.is_integer(type_)

    def at(self, name: str) -> Shape:
        """The shape of an object's field."""
        if name not in self.fields:
            known = self.known
            has = known is not None and pa.types.is_struct(known) and known.get_field_index(name) >= 0
            inner = known.field(name).type if has and known is not None else None
            self.fields[name] = Shape(f"{self.path}.{name}" if self.level else name, self.level + 1, inner)
        return self.fields[name]

    def item(self) -> Shape:
        """The shape of a list's values."""
        if self.element is None:
            known = self.known
            inner = known.value_type if known is not None and pa.types.is_list(known) else None
            self.element = Shape(f"{self.path}[]", self.level + 1, inner)
        return self.element

    def type(self, file: Path) -> pa.DataType:
        """The type that keeps all values; raises `InvalidData` for a number that none does."""
        if self.kind == "object":
            return pa.struct([pa.field(name, inner.type(file)) for name, inner in self.fields.items()])
        if self.kind == "list":
            return pa.list_(pa.null() if self.element is None else self.element.type(file))
        if self.kind == "number":
            return self._number_type(file)
        if self.kind == "string":
            return self.known if self.known in TIMES and self.level > 1 else pa.string()
        return pa.bool_() if self.kind == "truth value" else pa.null()

    def _add_number(self, value: int | Fraction, place: str) -> None:
        self.whole = self.whole and isinstance(value, int) and -(2**63) <= value < 2**63
        if self.beyond is None and not _is_kept(value):
            self.beyond = place, str(value)
        if self.known is not None and pa.types.is_decimal(self.known):
            before, after = _digits(str(value))
            self.digits, self.places = max(self.digits, before), max(self.places, after)

    def _number_type(self, file: Path) -> pa.DataType:
        known = self.known
        if known is not None and pa.types.is_decimal(known):
            places = max(known.scale, self.places)
            if self.digits + places <= _DIGITS:
                return pa.decimal128(_DIGITS, places)
        if self.whole and not (known is not None and pa.types.is_floating(known) and self.beyond is None):
            return pa.int64()
        if self.beyond is not None:
            place, text = self.beyond
            raise number_refused(file, place, self.path, text, "neither a double nor a 64-bit integer keeps")
        return pa.float64()

    def _mixed(self, file: Path, value: Any, kind: str, place: str) -> InvalidData:
        text = quoted(value) if isinstance(value, str) and not isinstance(value, Fraction) else str(value)
        problem = f"{text[:SHOWN_IN_FILE]} is a {kind}, and {self.place} has a {self.kind}"
        return refused_in_file(file, place, problem, "write one kind of value per column, or null", self.path)


def number_refused(file: Path, place: str, path: str, text: str, problem: str) -> InvalidData:
    return refused_in_file(file, place, f"{text[:SHOWN_IN_FILE]} has digits that {problem}", _DIGITS_HINT, path)


def kind_of(value: Any) -> str:
    """For messages, too."""
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, (int, Fraction)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "list"


def _kind_of_type(type_: pa.DataType) -> str | None:
    return next((kind for matches, kind in _KINDS if matches(type_)), None)


def _digits(number: str) -> tuple[int, int]:
    """Before and after the point; more than any decimal has for a number that none holds."""
    try:
        sign, digits, exponent = Decimal(number).as_tuple()
    except InvalidOperation:  # an exponent of twenty digits
        return _DIGITS + 1, 0
    if sign and digits == (0,):  # a decimal has no minus zero
        return _DIGITS + 1, 0
    return len(digits) + int(exponent), -int(exponent)


def _is_kept(value: int | Fraction) -> bool:
    if isinstance(value, int):
        return -_EXACT <= value <= _EXACT or keeps(str(value))
    return (len(value) <= _IN_DOUBLE and "e" not in value and "E" not in value) or keeps(value)

"""Cells of a column whose type is known: of the dataset, or declared. A cell is read as that type, or not at all.

A column that was found in data reads what keeps its spelling's meaning: `007` is no whole number. A declared one takes
its owner's word: `007`, `+7` and `7.0` are 7, `.5` is 0.5, `1` is true, `Infinity` is a float, and a number of 17
digits is the double it was printed from.

Cells of columns that are declared to mean more than their published type says: UUIDs, times of day, durations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.ingest.formats.numbers import SPECIAL, first_not_kept, keeps, with_point
from timestore_pipeline.ingest.formats.text_times import TIMES, are_times, parse_times, spelled_out
from timestore_pipeline.model.canonical import TIMESTAMP
from timestore_pipeline.model.dataset import SubMicroseconds
from timestore_pipeline.model.declared import EPOCHS, Meaning, type_text

_WHOLE = r"^(?:0|-?[1-9][0-9]*)$"
_FRACTION = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$"
_FLOAT = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?$"
_SIGN_AND_ZEROS = (r"^(?:\+|(-))?0*([0-9])", r"\1\2")
_DECLARED_WHOLE = (_SIGN_AND_ZEROS, (r"^(-?[0-9]+)\.0*$", r"\1"))
_DECLARED_NUMBERS = (
    (r"^([+-]?)\.([0-9])", r"\10.\2"),
    (r"^([+-]?[0-9]+)\.($|[eE])", r"\1\2"),
    (r"^(?:\+|(-))?(?i:inf(?:inity)?)$", r"\1inf"),
    _SIGN_AND_ZEROS,
)
_TRUE = ("true", "True", "TRUE", "1")
_TRUTH = (*_TRUE[:3], "false", "False", "FALSE")
_BITS = ("1", "0")
_DIGITS_OF_A_DOUBLE = 17  # a double that is printed with so many differs from every other
_HEX = "[0-9a-fA-F]"
_UUID = rf"^(?:urn:uuid:)?\{{?({_HEX}{{8}})-?({_HEX}{{4}})-?({_HEX}{{4}})-?({_HEX}{{4}})-?({_HEX}{{12}})\}}?$"
_TIME = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?$"
_DURATION = re.compile(r"(-?)P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6})0*)?S)?)?")
_WHOLE_CELL = re.compile(r"0|-?[1-9]\d{0,18}")
_FRACTION_CELL = re.compile(r"-?(?:0|[1-9]\d{0,18})(?:\.\d{1,12}0*)?")
FRACTIONS = pa.decimal128(38, 12)  # of counts since 1970, of which at least one has a fraction
_SECOND = 1_000_000
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class KnownColumn:
    """comma: its numbers have a decimal comma. fractions: it counts time, and some count has a fraction.

    local_as_utc: the dataset takes times without an offset for UTC.
    """

    type: pa.DataType
    meaning: Meaning = Meaning.PLAIN
    declared: bool = False
    comma: bool = False
    fractions: bool = False
    local_as_utc: bool = False

    @property
    def description(self) -> str:
        """For messages: what cells are taken for."""
        described = type_text(self.type) if self.meaning is Meaning.PLAIN else self.meaning.value
        return f"declared as {described}" if self.declared else f"{described} in the dataset"

    def reads(self, cells: pa.Array) -> pa.BooleanArray:
        """Which of the cells, none of them null, can be read."""
        if self.meaning is not Meaning.PLAIN:
            return are_meant(self._with_point(cells), self.meaning)
        if pa.types.is_string(self.type):
            return pa.array([True] * len(cells), pa.bool_())
        if self.type in TIMES:
            return are_times(self._times(cells), self.type, storable=True)
        if pa.types.is_boolean(self.type):
            return pc.is_in(cells, pa.array([*_TRUTH, *(_BITS if self.declared else ())]))
        return self._reads_numbers(self._numbers(cells))

    def parse(self, text: pa.Array, finer: SubMicroseconds) -> pa.Array:
        """Cells that can be read, or null, in the type that staging takes them in."""
        if self.meaning is not Meaning.PLAIN:
            return parse_meant(self._with_point(text), self.meaning, finer, fractions=self.fractions)
        if self.type in TIMES:
            return parse_times(self._times(text), self.type, finer)
        if pa.types.is_boolean(self.type):
            return pc.if_else(text.is_valid(), pc.is_in(text, pa.array(_TRUE)), pa.scalar(None, pa.bool_()))
        if pa.types.is_string(self.type):
            return text
        if pa.types.is_decimal(self.type):
            return _decimals(self._numbers(text), self.type)
        return self._numbers(text).cast(self.type)

    def with_fractions_of(self, cells: pa.Array) -> KnownColumn:
        """After a look at more cells, all of which it reads."""
        if self.fractions or self.meaning not in EPOCHS or not have_fractions(self._with_point(cells)):
            return self
        return replace(self, fractions=True)

    @property
    def is_time(self) -> bool:
        """Whether its cells may have more digits than microseconds."""
        return self.type in TIMES or self.meaning is Meaning.TIME

    def _with_point(self, cells: pa.Array) -> pa.Array:
        return with_point(cells) if self.comma and self.meaning in EPOCHS else cells

    def _times(self, cells: pa.Array) -> pa.Array:
        return spelled_out(cells, self.type, local_as_utc=self.local_as_utc)

    def _numbers(self, cells: pa.Array) -> pa.Array:
        """A declared column's numbers in the one spelling that is read: `.5`, `5.` and `+05` are 0.5 and 5."""
        plain = with_point(cells) if self.comma else cells
        if not self.declared:
            return plain
        for spelling, usual in _DECLARED_WHOLE if pa.types.is_int64(self.type) else _DECLARED_NUMBERS:
            plain = pc.replace_substring_regex(plain, spelling, usual)
        return plain

    def _reads_numbers(self, cells: pa.Array) -> pa.BooleanArray:
        if pa.types.is_int64(self.type):
            shaped = pc.match_substring_regex(cells, _WHOLE)
            return _each(cells, shaped, lambda cell: -(2**63) <= int(cell) < 2**63, longest=18)
        if pa.types.is_decimal(self.type):
            shaped = pc.match_substring_regex(cells, _FRACTION)
            return _each(cells, shaped, self._is_decimal)
        if not pa.types.is_floating(self.type):
            return pa.array([False] * len(cells), pa.bool_())  # nested and binary: no cell says that
        special = pc.is_in(cells, pa.array(SPECIAL))
        shaped = pc.match_substring_regex(cells, _FLOAT)
        if pc.all(shaped).as_py() and first_not_kept(cells) is None:
            return shaped
        kept = _each(cells, shaped, lambda cell: keeps(cell) or (self.declared and _is_printed_double(cell)))
        return pc.or_(special, kept)

    def _is_decimal(self, cell: str) -> bool:
        if cell.startswith("-") and not cell.strip("-0."):
            return False  # a decimal has no minus zero
        whole, _, places = cell.lstrip("-").partition(".")
        fits = len(places.rstrip("0")) <= self.type.scale
        return fits and (whole == "0" or len(whole) <= self.type.precision - self.type.scale)


def _each(
    cells: pa.Array, shaped: pa.BooleanArray, accepts: Callable[[str], bool], longest: int = 0
) -> pa.BooleanArray:
    """`shaped`, less those that `accepts` refuses; if none has more than `longest` characters, none is asked."""
    if longest and int(pc.max(pc.binary_length(cells)).as_py() or 0) <= longest:
        return shaped
    return pa.array([ok and accepts(cell) for ok, cell in zip(shaped.to_pylist(), cells.to_pylist(), strict=True)])


def _is_printed_double(cell: str) -> bool:
    """Whether the cell is what a program prints of a double when it is asked for 17 digits or more."""
    exact = Decimal(cell)
    digits = len(exact.as_tuple().digits)
    number = float(cell)
    if digits < _DIGITS_OF_A_DOUBLE or not math.isfinite(number):
        return False
    return Context(prec=digits, rounding=ROUND_HALF_EVEN).create_decimal(number) == exact


def _decimals(cells: pa.Array, type_: pa.DataType) -> pa.Array:
    try:
        return cells.cast(type_)
    except pa.ArrowInvalid:  # zeros beyond the type's places
        return pa.array([None if cell is None else Decimal(cell) for cell in cells.to_pylist()]).cast(type_)


def are_meant(cells: pa.Array, meaning: Meaning) -> pa.BooleanArray:
    """Which of the cells, none of them null, can be read as what is meant."""
    if meaning is Meaning.UUID:
        return pc.match_substring_regex(cells, _UUID)
    if meaning is Meaning.TIME:
        return pc.match_substring_regex(cells, _TIME)
    if meaning is Meaning.DURATION:
        return pa.array([_microseconds(cell) is not None for cell in cells.to_pylist()], pa.bool_())
    return pa.array([_is_count(cell) for cell in cells.to_pylist()], pa.bool_())


def have_fractions(cells: pa.Array) -> bool:
    """Whether any of the counts has one."""
    return bool(pc.any(pc.match_substring(cells, ".")).as_py())


def parse_meant(text: pa.Array, meaning: Meaning, finer: SubMicroseconds, *, fractions: bool) -> pa.Array:
    """Cells that can be read, or null, in the Arrow type that means the same; counts since 1970 as they are.

    fractions: some count of the column has one, so all of them are decimals.
    """
    if meaning is Meaning.UUID:
        return pc.utf8_lower(pc.replace_substring_regex(text, _UUID, r"\1-\2-\3-\4-\5"))
    if meaning is Meaning.TIME:
        instants = parse_times(pc.binary_join_element_wise("1970-01-01", text, "T"), TIMESTAMP, finer)
        return instants.cast(pa.int64()).cast(pa.time64("us"))
    if meaning is not Meaning.DURATION and fractions:
        return pa.array([None if cell is None else Decimal(cell) for cell in text.to_pylist()]).cast(FRACTIONS)
    read, type_ = (_microseconds, pa.duration("us")) if meaning is Meaning.DURATION else (_count, pa.int64())
    return pa.array([None if cell is None else read(cell) for cell in text.to_pylist()], type_)


def _is_count(cell: str) -> bool:
    if _count(cell) is not None:
        return True
    return _FRACTION_CELL.fullmatch(cell) is not None and _count(cell.partition(".")[0].removeprefix("-")) is not None


def _count(cell: str) -> int | None:
    number = int(cell) if _WHOLE_CELL.fullmatch(cell) else _INT64
    return number if -_INT64 <= number < _INT64 else None


def _microseconds(cell: str) -> int | None:
    """A whole number of microseconds, or PnDTnHnMnS; years and months have no fixed length."""
    found = _DURATION.fullmatch(cell)
    if found is None:
        return _count(cell)
    sign, days, hours, minutes, seconds, fraction = found.groups(default="")
    whole = ((int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
    length = whole * _SECOND + int(fraction.ljust(6, "0"))
    return (-length if sign else length) if length < _INT64 else None

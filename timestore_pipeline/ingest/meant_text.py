"""Cells of columns that are declared to mean more than their published type says: UUIDs, times of day, durations."""

from __future__ import annotations

import re
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.ingest.text_times import parse_times
from timestore_pipeline.model.canonical import TIMESTAMP
from timestore_pipeline.model.dataset import SubMicroseconds
from timestore_pipeline.model.declared import Meaning

_HEX = "[0-9a-fA-F]"
_UUID = rf"^(?:urn:uuid:)?\{{?({_HEX}{{8}})-?({_HEX}{{4}})-?({_HEX}{{4}})-?({_HEX}{{4}})-?({_HEX}{{12}})\}}?$"
_TIME = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?$"
_DURATION = re.compile(r"(-?)P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6})0*)?S)?)?")
_WHOLE_CELL = re.compile(r"0|-?[1-9]\d{0,18}")
_FRACTION_CELL = re.compile(r"-?(?:0|[1-9]\d{0,18})(?:\.\d{1,12}0*)?")
FRACTIONS = pa.decimal128(38, 12)  # of counts since 1970, of which at least one has a fraction
_SECOND = 1_000_000
_INT64 = 2**63


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

"""DuckDB's per-file column statistics in the form of the Delta log.

Readers skip a file when its statistics rule out every row, so a bound that is too tight loses rows without an error.
Two rules follow. A bound that cannot be exact is moved outwards. And a file in which some column with values has no
bound (NaN, infinities, years that Delta cannot spell) gets no bounds at all: `DeltaTable.to_pyarrow_dataset` of
deltalake 1.6 reads a missing bound beside present ones as "nothing can match". Nested and binary columns never get
bounds; that reader ignores them.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import pyarrow as pa

ColumnStatistics = Mapping[str, Mapping[str, str]]  # DuckDB RETURN_STATS: quoted column path -> statistic -> text

_TOP_LEVEL = re.compile(r'"((?:[^"]|"")*)"')  # one quoted identifier; a nested path has two or more
_LONGEST_STRING = 64  # characters; longer bounds would bloat every reader's copy of the log
_MILLISECOND = timedelta(milliseconds=1)
_EXACT_DIGITS = 15  # decimal digits that survive a reader's detour through a double
_LAST_BEFORE_SURROGATES, _FIRST_AFTER_SURROGATES, _LAST_CHARACTER = 0xD7FF, 0xE000, 0x10FFFF


def delta_stats(rows: int, columns: ColumnStatistics, schema: pa.Schema) -> str:
    """The `stats` text of an add action: numRecords, and nullCount, minValues, maxValues of top-level primitives."""
    primitives = list(_primitives(columns, schema))
    nulls = {field.name: int(found["null_count"]) for field, found in primitives if "null_count" in found}
    bounded = [
        (field, found) for field, found in primitives if _has_order(field.type) and nulls.get(field.name) != rows
    ]
    lows = {field.name: _bound(found, field.type, "min") for field, found in bounded}
    highs = {field.name: _bound(found, field.type, "max") for field, found in bounded}
    document: dict[str, Any] = {"numRecords": rows, "nullCount": nulls}
    if None not in lows.values() and None not in highs.values():
        document |= {"minValues": lows, "maxValues": highs}
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def time_bounds(
    columns: ColumnStatistics, schema: pa.Schema, time_column: str | None
) -> tuple[datetime | None, datetime | None]:
    """Smallest and largest time in the file, aware in UTC; None where there is no usable bound."""
    for field, found in _primitives(columns, schema):
        if field.name == time_column and (pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)):
            return _instant(_exact(found, "min")), _instant(_exact(found, "max"))
    return None, None


def _primitives(columns: ColumnStatistics, schema: pa.Schema) -> Iterator[tuple[pa.Field, Mapping[str, str]]]:
    for path, found in columns.items():
        match = _TOP_LEVEL.fullmatch(path)
        if match is None:
            continue
        field = schema.field(match[1].replace('""', '"'))
        if not pa.types.is_nested(field.type):
            yield field, found


def _has_order(kind: pa.DataType) -> bool:
    return not (pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _exact(found: Mapping[str, str], side: str) -> str | None:
    return found.get(side) if found.get(f"{side}_is_exact") == "true" else None


def _bound(found: Mapping[str, str], kind: pa.DataType, side: str) -> Any:
    """The bound as a JSON value that no reader can misread as a tighter one, or None."""
    text = _exact(found, side)
    render = _RENDERERS.get(kind.id)
    if text is None or render is None or found.get("has_nan", "false") != "false":
        return None
    return render(text, kind, side)


def _boolean(_text: str, _kind: pa.DataType, side: str) -> bool:
    """The widest bounds; tighter ones would not help readers."""
    return side == "max"


def _integer(text: str, _kind: pa.DataType, _side: str) -> int:
    return int(text)


def _float(text: str, kind: pa.DataType, side: str) -> float | None:
    value = float(text)
    if not math.isfinite(value):
        return None
    if value == 0:  # readers that order floats totally put -0.0 below 0.0
        return -0.0 if side == "min" else 0.0
    if pa.types.is_float32(kind):  # as the double it is, not as the short text that only rounds back to it
        return float(struct.unpack("f", struct.pack("f", value))[0])
    return value


def _string(text: str, _kind: pa.DataType, side: str) -> str | None:
    """A long string's prefix sorts before it; the prefix with its last character raised sorts after it."""
    if len(text) <= _LONGEST_STRING:
        return text
    prefix = text[:_LONGEST_STRING]
    if side == "min":
        return prefix
    last = ord(prefix[-1])
    if last == _LAST_CHARACTER:
        return None
    return prefix[:-1] + chr(_FIRST_AFTER_SURROGATES if last == _LAST_BEFORE_SURROGATES else last + 1)


def _decimal(text: str, kind: pa.DataType, side: str) -> int | float | None:
    """Rounded outwards to a number that a double holds and plain digits spell; None if the type has too few digits."""
    context = Context(prec=_EXACT_DIGITS, rounding=ROUND_FLOOR if side == "min" else ROUND_CEILING)
    value = context.create_decimal(text)
    if "e" in repr(float(value)) and value != value.to_integral_value():
        value = value.quantize(Decimal("0.0001"), context=context)
    if value and value.adjusted() >= kind.precision - kind.scale:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _date(text: str, _kind: pa.DataType, _side: str) -> str | None:
    instant = _instant(text)
    return None if instant is None else instant.date().isoformat()


def _timestamp(text: str, kind: pa.DataType, side: str) -> str | None:
    """ISO 8601 in milliseconds, as the Delta protocol requires: a minimum rounds down, a maximum up."""
    instant = _instant(text)
    if instant is None:
        return None
    floor = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    try:
        rounded = floor if side == "min" or floor == instant else floor + _MILLISECOND
    except OverflowError:
        return None
    return rounded.replace(tzinfo=None).isoformat(timespec="milliseconds") + ("" if kind.tz is None else "Z")


def _instant(text: str | None) -> datetime | None:
    """From DuckDB's spelling of a date or timestamp; None for infinities and years that Python and Delta lack."""
    try:
        parsed = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


_RENDERERS: Mapping[int, Callable[[str, pa.DataType, str], Any]] = {  # by the number that Arrow has for a type
    kind.id: render
    for render, kinds in (
        (_boolean, [pa.bool_()]),
        (_integer, [pa.int8(), pa.int16(), pa.int32(), pa.int64()]),
        (_float, [pa.float32(), pa.float64()]),
        (_string, [pa.string()]),
        (_decimal, [pa.decimal128(1)]),
        (_date, [pa.date32()]),
        (_timestamp, [pa.timestamp("us")]),
    )
    for kind in kinds
}

"""DuckDB's per-file column statistics in the form the Delta log wants.

Readers skip a file when its statistics say that no row can match, so a bound that is off by anything loses rows without
an error. Every doubtful bound is therefore left out: a missing bound only costs a scan. Nested columns get none.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

ColumnStatistics = Mapping[str, Mapping[str, str]]  # DuckDB RETURN_STATS: quoted column path -> statistic -> text

_TOP_LEVEL = re.compile(r'"((?:[^"]|"")*)"')  # one quoted identifier; a nested path has two or more
_LONGEST_STRING = 64  # characters; longer bounds would bloat every reader's copy of the log
_MILLISECOND = timedelta(milliseconds=1)


def delta_stats(rows: int, columns: ColumnStatistics, schema: pa.Schema) -> str:
    """The `stats` text of an add action: numRecords, and nullCount, minValues, maxValues of top-level primitives."""
    lows: dict[str, Any] = {}
    highs: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for field, found in _primitives(columns, schema):
        if "null_count" in found:
            nulls[field.name] = int(found["null_count"])
        _keep(lows, field, _bound(found, field.type, "min"))
        _keep(highs, field, _bound(found, field.type, "max"))
    document = {"numRecords": rows, "minValues": lows, "maxValues": highs, "nullCount": nulls}
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


def _keep(bounds: dict[str, Any], field: pa.Field, bound: Any) -> None:
    if bound is not None:
        bounds[field.name] = bound


def _exact(found: Mapping[str, str], side: str) -> str | None:
    return found.get(side) if found.get(f"{side}_is_exact") == "true" else None


def _bound(found: Mapping[str, str], kind: pa.DataType, side: str) -> Any:
    """The bound as a JSON value that no reader can take for a tighter one, or None."""
    text = _exact(found, side)
    render = next((render for matches, render in _RENDERERS if matches(kind)), None)
    if text is None or render is None or found.get("has_nan", "false") != "false":
        return None
    return render(text, kind, side)


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


def _string(text: str, _kind: pa.DataType, _side: str) -> str | None:
    return text if len(text) <= _LONGEST_STRING else None


def _decimal(text: str, _kind: pa.DataType, _side: str) -> int | float | None:
    """A number only when its JSON text survives a reader's detour through a double."""
    exact = Decimal(text)
    if exact == exact.to_integral_value():
        return int(exact) if abs(exact) < 2**53 else None
    spelt = repr(float(exact))
    return float(exact) if "e" not in spelt and Decimal(spelt) == exact else None


def _date(text: str, _kind: pa.DataType, _side: str) -> str | None:
    instant = _instant(text)
    return None if instant is None else instant.date().isoformat()


def _timestamp(text: str, kind: pa.DataType, side: str) -> str | None:
    """ISO 8601 in milliseconds, as the Delta protocol has it: a minimum rounds down, a maximum up."""
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
    """DuckDB's spelling of a date or timestamp; None for infinities and for years Python and Delta do not know."""
    try:
        parsed = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


_RENDERERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[str, pa.DataType, str], Any]], ...] = (
    (pa.types.is_integer, _integer),
    (pa.types.is_floating, _float),
    (pa.types.is_string, _string),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_date, _date),
    (pa.types.is_timestamp, _timestamp),
)

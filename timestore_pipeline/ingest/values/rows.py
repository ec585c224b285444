"""An iterable of mappings as a table, without Arrow's silent guesses.

Left alone, Arrow reads the columns off the first row, drops the time of a datetime that follows a date, takes a naive
datetime for UTC when an aware one came before it, and cuts off nanoseconds. So kinds are compared first, value by
value, at every depth, and the column's type follows from the kinds.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, ValuesView
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from numbers import Integral, Real
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.values.by_row import ARROW_ERRORS
from timestore_pipeline.model.canonical import check_field_names
from timestore_pipeline.model.refusals import printed, refused_value

_MERGED = {frozenset({"int", "float"}): "float", frozenset({"int", "decimal"}): "decimal"}  # Arrow checks each value
_MISSING = frozenset({"NaTType", "NAType"})  # pandas' nulls, by name: pandas need not be installed
_NAMED = frozenset({"timedelta64", "MonthDayNano"})  # numpy's is an Integral, Arrow's a tuple
_AWARE = "datetime with time zone"
_MINUTE = timedelta(minutes=1)
_PLAIN = ({bool}, {int}, {float}, {str}, {bytes}, {Decimal}, {date}, {timedelta}, set[type]())
_HINT = "send one kind of value per column, or null"
_DIGITS, _MOST_DIGITS = 38, 76  # of Arrow's decimals that can be published, and of its widest ones
_WIDE = pa.decimal128(_DIGITS, 0)  # for integers beyond 64 bits


def table_from_rows(rows: Iterable[object]) -> pa.Table:
    """One row per mapping, one column per key seen anywhere, in order of first appearance; absent keys are null.

    Raises `InvalidData` naming the row (the first is row 0) and, where there is one, the column.
    """
    mappings: list[Mapping[str, Any]] = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            hint = "send one mapping per row, such as [{'at': ..., 'value': 1.5}]"
            raise InvalidData(f"row {number} is {type(row).__name__}, not a mapping", hint=hint)
        mappings.append(row)
    names = list(dict.fromkeys(name for row in mappings for name in row))
    if not names:
        raise InvalidData("the data has no rows, or only rows without keys", hint="send at least one row with a value")
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise InvalidData(f"column name {printed(wrong[0]):.200} is not a string", hint="name columns by strings")
    check_field_names(names, "")
    arrays = [array_from_values(name, [row.get(name) for row in mappings]) for name in names]
    return pa.Table.from_arrays(arrays, names=names)


def array_from_values(name: str, values: list[Any]) -> pa.Array:
    """A column of Python values, None where one is missing; raises `InvalidData` naming the row."""
    if _is_uniform(values):
        type_ = None
    else:
        kinds = _Kinds()
        values = [kinds.note(name, value, number) for number, value in enumerate(values)]
        type_ = kinds.type(name)
    try:
        return _array(values, type_)
    except MemoryError:
        raise
    except ARROW_ERRORS as error:
        raise _unstorable(name, values, type_, error) from error


def _is_uniform(values: list[Any]) -> bool:
    """Whether no value can hide another kind: true of nearly every column, and found at the speed of a set."""
    types = set(map(type, values)) - {type(None)}
    if types == {datetime}:
        zones = {id(value.tzinfo): value.tzinfo for value in values if value is not None}.values()
        return all(zone is None for zone in zones) or all(
            # Arrow knows all offsets of a named zone, else those of whole minutes.
            isinstance(zone, ZoneInfo) or (isinstance(zone, timezone) and not zone.utcoffset(None) % _MINUTE)
            for zone in zones
        )
    return types in _PLAIN


def _array(values: list[Any], type_: pa.DataType | None) -> pa.Array:
    try:
        return pa.array(values, type_)
    except OverflowError:
        if type_ is not None or set(map(type, values)) - {type(None)} != {int}:
            raise
        return pa.array(values, _WIDE)


def _unstorable(name: str, values: list[Any], type_: pa.DataType | None, error: Exception) -> InvalidData:
    for number, value in enumerate(values):
        try:
            _array([value], type_)
        except ARROW_ERRORS as reason:
            problem = f"which cannot hold it ({str(reason).splitlines()[0]})"
            kind = type(value).__name__ if type_ is None else str(type_)
            return refused_value(name, number, printed(value), kind, problem, _remedy(value))
    return InvalidData(f"column {name!r} cannot be stored: {error}", hint=_HINT)


def _remedy(value: object) -> str:
    if isinstance(value, Integral) and type(value).__name__ not in _NAMED:
        return "send numbers of more than 38 digits, or a mixture that doubles cannot hold, as text"
    if isinstance(value, Decimal):
        return "send null where there is no number, and numbers of more than 38 digits as text"
    if not isinstance(value, _KNOWN):
        return "convert it to a number, string, timestamp, list or mapping"
    return _HINT


class _Kinds:
    """What was seen of one column: for each path in it a kind, and what the kind's type depends on."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._children: dict[str, dict[str, str]] = {}  # path of mappings -> key -> path, in order of first appearance
        self._decimals: dict[str, list[Decimal | int]] = {}
        self._fine: set[str] = set()  # paths with times that have nanoseconds
        self._wide: set[str] = set()  # paths with integers beyond 64 bits

    def note(self, path: str, value: Any, row: int) -> Any:
        """Remember the kind of `value` and of all it contains; refuse what contradicts earlier rows.

        Returns the value as Arrow is to see it.
        """
        if value is None or type(value).__name__ in _MISSING:
            return None
        kind = _kind(value)
        known = self._kinds.setdefault(path, kind)
        if known != kind:
            if (merged := _MERGED.get(frozenset({known, kind}))) is None:
                problem = f"but is {kind} after {known} in earlier rows"
                raise refused_value(path, row, printed(value), known, problem, _HINT)
            self._kinds[path] = merged
        return self._noted(path, kind, value, row)

    def type(self, path: str) -> pa.DataType | None:
        """The type of what was seen at `path`; None = Arrow may find one."""
        if (kind := self._kinds.get(path)) is None:
            return pa.null()
        if kind == "list":
            inner = self.type(f"{path}[]")
            return None if inner is None else pa.list_(inner)
        if kind == "mapping":
            check_field_names(self._children.get(path, {}), path)
            types = {key: self.type(inner) for key, inner in self._children.get(path, {}).items()}
            return None if None in types.values() else pa.struct(list(types.items()))
        if kind == "int":
            return _WIDE if path in self._wide else pa.int64()
        if kind == "decimal":
            return _decimal_type(self._decimals[path])
        unit = "ns" if path in self._fine else "us"
        return _TYPES[kind](unit) if kind in _TYPES else None

    def _noted(self, path: str, kind: str, value: Any, row: int) -> Any:
        if kind == "mapping":
            children = self._children.setdefault(path, {})
            return {key: self._child(children, path, key, inner, row) for key, inner in value.items()}
        if kind == "list":
            return [self.note(f"{path}[]", inner, row) for inner in value]
        if kind in ("int", "decimal"):
            self._decimals.setdefault(path, []).append(value)
            if kind == "int" and not -(2**63) <= value < 2**63:
                self._wide.add(path)
        if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):  # pandas' Timestamp and Timedelta
            self._fine.add(path)
        elif kind == "float" and not _is_double(value):  # a long double, or a fraction
            raise refused_value(path, row, printed(value), "double", "which would round it", "send a decimal, or text")
        elif kind == "time" and value.tzinfo is not None:
            remedy = "send a timestamp with a time zone, or the time of day alone"
            raise refused_value(path, row, printed(value), "a time of day", "which has no time zone", remedy)
        return _PREPARED[kind](value) if kind in _PREPARED else value

    def _child(self, children: dict[str, str], path: str, key: Any, value: Any, row: int) -> Any:
        if not isinstance(key, str):
            problem = "but its key is not a string"
            raise refused_value(path, row, printed({key: value}), "a mapping", problem, "name fields by strings")
        return self.note(children.setdefault(key, f"{path}.{key}"), value, row)


def _is_double(value: Any) -> bool:
    try:
        return bool(value != value or float(value) == value)
    except OverflowError:
        return False


def _exact_instant(value: datetime) -> datetime:
    """Arrow cuts off the microseconds of an offset. A time that leaves the years 0001 to 9999 is refused later."""
    try:
        return value.astimezone(UTC) if (value.utcoffset() or _MINUTE) % _MINUTE else value
    except OverflowError:
        return value


def _decimal_type(numbers: list[Decimal | int]) -> pa.DataType:
    """One with room for every number, which Arrow does not find where integers stand beside decimals.

    A number that no such type holds is named when the values are converted.
    """
    parts = [Decimal(number).as_tuple() for number in numbers]
    # NaN and infinity have no exponent.
    sizes = [(len(part.digits), part.exponent) for part in parts if isinstance(part.exponent, int)]
    scale = max([0, *(-exponent for _, exponent in sizes)])
    whole = max([0, *(digits + exponent for digits, exponent in sizes)])
    if whole + scale <= _DIGITS:
        return pa.decimal128(_DIGITS, scale)
    return pa.decimal256(_MOST_DIGITS, min(scale, _MOST_DIGITS))


def _kind(value: Any) -> str:
    if isinstance(value, pa.Scalar) or type(value).__name__ in _NAMED:
        return type(value).__name__
    if type(value).__name__ == "ndarray" and value.ndim:
        return "list"
    if isinstance(value, datetime):
        return "datetime without time zone" if value.utcoffset() is None else _AWARE  # a zone need not know its offset
    for kind, types in _KINDS:
        if isinstance(value, types):
            return kind
    return type(value).__name__


_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (  # in this order: a bool is Integral, an Integral is Real
    ("bool", (bool,)),
    ("int", (Integral,)),
    ("float", (Real,)),
    ("decimal", (Decimal,)),
    ("string", (str,)),
    ("bytes", (bytes, bytearray, memoryview)),
    ("date", (date,)),
    ("time", (time,)),
    ("duration", (timedelta,)),
    ("uuid", (uuid.UUID,)),
    ("mapping", (Mapping,)),
    ("list", (list, tuple, set, frozenset, ValuesView)),  # of what else is iterable Arrow makes no list
)
_KNOWN = tuple(one for _, types in _KINDS for one in types)
_TYPES: dict[str, Any] = {  # kind -> the type for a unit of time
    "bool": lambda _: pa.bool_(),
    "float": lambda _: pa.float64(),
    "string": lambda _: pa.string(),
    "bytes": lambda _: pa.binary(),
    "date": lambda _: pa.date32(),
    "time": lambda _: pa.time64("us"),
    "duration": pa.duration,
    "uuid": lambda _: pa.string(),
    "datetime without time zone": pa.timestamp,
    _AWARE: lambda unit: pa.timestamp(unit, "UTC"),
}
_PREPARED: dict[str, Any] = {  # kind -> a value of it for Arrow, which makes no decimal of an integer of numpy
    "int": int,
    "uuid": str,
    _AWARE: _exact_instant,
}

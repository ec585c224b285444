"""An iterable of mappings as a table, without Arrow's silent guesses.

Left alone, Arrow reads the columns off the first row, drops the time of a datetime that follows a date, and takes a
naive datetime for UTC when an aware one came before it. So kinds are compared first, value by value, at every depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import pyarrow as pa

from timestore_pipeline.errors import InvalidData

_Kinds = dict[str, str]  # path -> kind of the values seen so far
_MERGED = {frozenset({"int", "float"}): "float", frozenset({"int", "decimal"}): "decimal"}  # Arrow checks each value
_MISSING = frozenset({"NaTType", "NAType"})  # pandas' nulls, by name: pandas need not be installed
_PLAIN = ({bool}, {int}, {float}, {str}, {bytes}, {Decimal}, {date}, set[type]())
_UNSTORABLE = (pa.ArrowException, ValueError, TypeError, OverflowError)
_HINT = "send one kind of value per column, or null"


def table_from_rows(rows: Iterable[object]) -> pa.Table:
    """One row per mapping, one column per key seen anywhere, in order of first appearance; absent keys are null.

    Raises `InvalidData` naming the row (the first is row 0) and, where there is one, the column.
    """
    mappings = [_checked_row(row, number) for number, row in enumerate(rows)]
    names = list(dict.fromkeys(name for row in mappings for name in row))
    if not names:
        raise InvalidData("the data has no rows, or only rows without keys", hint="send at least one row with a value")
    for name in names:
        if not isinstance(name, str):
            raise InvalidData(f"column name {name!r} is not a string", hint="name columns by strings")
    return pa.Table.from_arrays([_column(name, [row.get(name) for row in mappings]) for name in names], names=names)


def _checked_row(row: object, number: int) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    hint = "send one mapping per row, such as [{'at': ..., 'value': 1.5}]"
    raise InvalidData(f"row {number} is {type(row).__name__}, not a mapping", hint=hint)


def _column(name: str, values: list[Any]) -> pa.Array:
    kinds: _Kinds = {}
    if not _is_uniform(values):
        values = [None if type(value).__name__ in _MISSING else value for value in values]
        for number, value in enumerate(values):
            _note(kinds, name, value, number)
    try:
        return _array(values)
    except _UNSTORABLE as error:
        raise _unstorable(name, values, kinds.get(name), error) from error


def _is_uniform(values: list[Any]) -> bool:
    """Whether no value can hide another kind: true of nearly every column, and found at the speed of a set."""
    types = set(map(type, values)) - {type(None)}
    if types == {datetime}:
        return len({value.tzinfo is None for value in values if value is not None}) == 1
    return types in _PLAIN


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except OverflowError:  # integers beyond 64 bits, as `uint64` columns have them
        if set(map(type, values)) - {type(None)} != {int}:
            raise
        return pa.array(values, pa.decimal128(38, 0))


def _unstorable(name: str, values: list[Any], kind: str | None, error: Exception) -> InvalidData:
    neighbours = [0.5] if kind == "float" else []  # an integer alone would be stored as one
    for number, value in enumerate(values):
        try:
            _array([value, *neighbours])
        except _UNSTORABLE as reason:
            return InvalidData(f"column {name!r}, row {number}: {value!r} cannot be stored ({reason})", hint=_HINT)
    return InvalidData(f"column {name!r} cannot be stored: {error}", hint=_HINT)


def _note(kinds: _Kinds, path: str, value: Any, number: int) -> None:
    """Remember the kind of `value` at `path`, and of all it contains; refuse what contradicts earlier rows."""
    if value is None:
        return
    kind = _kind(value, path, number)
    known = kinds.setdefault(path, kind)
    if known != kind:
        merged = _MERGED.get(frozenset({known, kind}))
        if merged is None:
            raise InvalidData(f"column {path!r}, row {number}: {kind} after {known} in earlier rows", hint=_HINT)
        kinds[path] = merged
    if kind == "mapping":
        for key, inner in value.items():
            _note(kinds, f"{path}.{key}", inner, number)
    elif kind == "list":
        for inner in value:
            _note(kinds, f"{path}[]", inner, number)


def _kind(value: Any, path: str, number: int) -> str:
    if isinstance(value, datetime):
        return _datetime_kind(value, path, number)
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
    ("mapping", (Mapping,)),
    ("list", (list, tuple, set, frozenset)),
)


def _datetime_kind(value: datetime, path: str, number: int) -> str:
    if getattr(value, "nanosecond", 0):  # pandas' Timestamp, which Arrow would truncate without a word
        raise InvalidData(
            f"column {path!r}, row {number}: {value} has nanoseconds: precision would be lost",
            hint="round the timestamps to microseconds",
        )
    return "datetime without time zone" if value.tzinfo is None else "datetime with time zone"

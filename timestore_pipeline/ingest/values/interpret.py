"""Incoming rows as what they mean to their dataset: encodings undone, declared meanings applied.

Before the schema evolves: after this step a column's type says what its values are, so that `evolve` compares like with
like. A column declared `epoch_ms` arrives there as an instant, an extension type as the values that it stands for.

Columns whose declaration says what their values mean: UUIDs in any spelling, numbers that count time.
"""

from __future__ import annotations

import uuid
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, localcontext

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.ingest.values.by_row import converted
from timestore_pipeline.ingest.values.exact_cast import DIGITS_REMEDY, INSTANTS, YEARS, exact_cast
from timestore_pipeline.ingest.values.pandas_notes import float_columns, whole_numbers
from timestore_pipeline.ingest.values.plain_values import plain_values, uuid_text
from timestore_pipeline.ingest.values.policy import ValuePolicy
from timestore_pipeline.model.canonical import DURATION, TIME, TIMESTAMP_UTC, in_utc, local_paths
from timestore_pipeline.model.dataset import LocalTimestamps, SubMicroseconds
from timestore_pipeline.model.declared import DeclaredType, Meaning
from timestore_pipeline.model.refusals import UnfitValue, refused_type
from timestore_pipeline.model.source_types import plain_type

_REFUSED_LOCAL = "and the dataset takes no timestamps without a time zone (schema.localTimestamps = refuse)"
_LOCAL_REMEDY = "send instants with a time zone, or set schema.localTimestamps to utc or feature"
_UNITS = {Meaning.EPOCH_S: "s", Meaning.EPOCH_MS: "ms", Meaning.EPOCH_US: "us", Meaning.EPOCH_NS: "ns"}
_MICROSECONDS = {"s": Decimal(10**6), "ms": Decimal(10**3), "us": Decimal(1), "ns": Decimal("0.001")}
_ROUNDING = {SubMicroseconds.ROUND: ROUND_HALF_EVEN, SubMicroseconds.TRUNCATE: ROUND_FLOOR}
_DIGITS = 400  # of any double or decimal, written out
_COUNTED = {Meaning.TIME: TIME, Meaning.DURATION: DURATION}
_EPOCH_REMEDY = "check the unit of the source: epoch_s, epoch_ms, epoch_us and epoch_ns can be declared"
_T = pa.types


def interpret(table: pa.Table, policy: ValuePolicy, known: pa.Schema | None) -> pa.Table:
    """`table` with every column in a plain type, and without metadata.

    known: the dataset's schema, None before its first batch. Raises `InvalidData` with the column's path, its type and
    the way out where no dataset can hold that type, or where the policy refuses it.
    """
    types = {} if known is None else {field.name: field.type for field in known}
    before = table.columns
    columns = [_plain(column, field) for column, field in zip(before, table.schema, strict=True)]
    with_gaps = float_columns(table.schema.metadata)
    for position, name in enumerate(table.column_names):
        column = columns[position]
        if name in with_gaps:
            column = whole_numbers(column, types.get(name))
        if name in policy.declared:
            column = _declared(column, name, policy)
        columns[position] = _localized(column, name, policy, types.get(name))
    if table.schema.metadata is None and all(new is old for new, old in zip(columns, before, strict=True)):
        return table
    return pa.Table.from_arrays(columns, names=table.column_names)


def _plain(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    target = plain_type(field.type, field.metadata, field.name)
    if column.type.equals(target, check_metadata=True):
        return column
    return converted(column, field.name, target, lambda chunk: plain_values(chunk, field.metadata, field.name))


def _declared(column: pa.ChunkedArray, name: str, policy: ValuePolicy) -> pa.ChunkedArray:
    declared = policy.declared[name]
    target = meant_type(column.type, declared)
    if target is None:
        return column
    return converted(column, name, target, lambda chunk: as_declared(chunk, declared, name, policy.sub_microseconds))


def _localized(column: pa.ChunkedArray, name: str, policy: ValuePolicy, known: pa.DataType | None) -> pa.ChunkedArray:
    """Timestamps without a time zone, as the dataset takes them; a column that is local already stays so."""
    if policy.local_timestamps is LocalTimestamps.FEATURE:
        return column
    local = next(local_paths(column.type, name), None)
    if local is None:
        return column
    if policy.local_timestamps is LocalTimestamps.REFUSE:
        raise refused_type(local, "timestamp without a time zone", _LOCAL_REMEDY, _REFUSED_LOCAL)
    target = in_utc(column.type, known)
    return converted(column, name, target, lambda chunk: exact_cast(chunk, target, name, policy.sub_microseconds))


def meant_type(type_: pa.DataType, declared: DeclaredType) -> pa.DataType | None:
    """The type that plain data of `type_` have by the declaration; None = the declaration adds nothing to it."""
    if declared.meaning is Meaning.UUID and (_T.is_fixed_size_binary(type_) or _is_text_or_bytes(type_)):
        return pa.string()
    if declared.meaning in _COUNTED and _T.is_integer(type_):
        return _COUNTED[declared.meaning]
    if declared.meaning in _UNITS and (_T.is_integer(type_) or _T.is_floating(type_) or _T.is_decimal(type_)):
        return TIMESTAMP_UTC
    return None


def as_declared(array: pa.Array, declared: DeclaredType, path: str, fine: SubMicroseconds) -> pa.Array:
    """`array` in its `meant_type`; raises `UnfitValue`."""
    if declared.meaning is Meaning.UUID:
        return _uuids(array, path)
    if declared.meaning in _COUNTED:
        return exact_cast(array, pa.int64(), path, fine).view(_COUNTED[declared.meaning])
    unit = _UNITS[declared.meaning]
    if not _T.is_integer(array.type):
        return exact_cast(_microseconds(array, unit, path, fine), TIMESTAMP_UTC, path, fine)
    counts = exact_cast(array, pa.int64(), path, fine)
    _check_years(counts, unit, path)
    return exact_cast(counts.view(pa.timestamp(unit, "UTC")), TIMESTAMP_UTC, path, fine)


def _check_years(counts: pa.Array, unit: str, path: str) -> None:
    """Before they are instants, so that the number is shown as it stands."""
    low, high = (int(edge / _MICROSECONDS[unit]) for edge in INSTANTS)
    outside = pc.and_(
        pc.is_valid(counts), pc.or_(pc.less(counts, max(low, -(2**63))), pc.greater(counts, min(high, 2**63 - 1)))
    )
    row = pc.index(outside, True).as_py()
    if row >= 0:
        raise UnfitValue(path, str(counts[row]), f"{unit} since 1970", f"but is {YEARS}", _EPOCH_REMEDY)


def _is_text_or_bytes(type_: pa.DataType) -> bool:
    kinds = (_T.is_string, _T.is_large_string, _T.is_binary, _T.is_large_binary)
    return any(matches(type_) for matches in kinds)


def _uuids(array: pa.Array, path: str) -> pa.Array:
    if _T.is_fixed_size_binary(array.type) and array.type.byte_width == 16:
        return uuid_text(array, path)
    return pa.array([None if value is None else _uuid(value, path) for value in array.to_pylist()], pa.string())


def _uuid(value: str | bytes, path: str) -> str:
    try:
        return str(uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(value))
    except ValueError:
        remedy = "send 32 hexadecimal digits, with or without hyphens, or 16 bytes"
        raise UnfitValue(path, repr(value), "a UUID", "which it is not", remedy) from None


def _microseconds(array: pa.Array, unit: str, path: str, fine: SubMicroseconds) -> pa.Array:
    """Numbers with a fraction, as it is written: 1735689600.1 means a tenth, though no double is one."""
    with localcontext(prec=_DIGITS):
        counts = [None if value is None else _count(value, unit, path, fine) for value in array.to_pylist()]
    return pa.array(counts, pa.int64()).view(TIMESTAMP_UTC)


def _count(value: float | Decimal, unit: str, path: str, fine: SubMicroseconds) -> int:
    exact = (Decimal(repr(value)) if isinstance(value, float) else value) * _MICROSECONDS[unit]
    if not exact.is_finite() or abs(exact) >= 2**63:
        raise UnfitValue(path, str(value), f"{unit} since 1970", "which is no instant", _EPOCH_REMEDY)
    whole = exact.to_integral_value(_ROUNDING.get(fine))
    if whole != exact and fine is SubMicroseconds.REFUSE:
        problem = "in microseconds, which has fewer digits: precision would be lost"
        raise UnfitValue(path, str(value), f"{unit} since 1970", problem, DIGITS_REMEDY)
    return int(whole)

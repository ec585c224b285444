"""Casts that either keep every value or name the first one they would change.

One exception, where the dataset says so: times with more digits than microseconds are rounded or truncated.

Nanoseconds as microseconds: refused unless they are whole, rounded, or truncated, as the dataset says.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.ingest.values.extents import ends_of
from timestore_pipeline.ingest.values.plain_values import entries, list_of, map_of
from timestore_pipeline.model.canonical import DURATION, TIME, TIMESTAMP, TIMESTAMP_UTC, is_untyped
from timestore_pipeline.model.dataset import SubMicroseconds
from timestore_pipeline.model.refusals import SHOWN_CHARACTERS, TO_NEXT_DAY, TO_NEXT_DAY_HINT, UnfitValue
from timestore_pipeline.model.source_types import is_list

_Cast = Callable[[pa.Array], pa.Array]
_WIDE_DIGITS = 76  # of decimal256: 19 for any int64 and every scale up to 38 fit
_DAY = 86_400_000_000  # microseconds
# Python, pandas, Delta statistics and most engines know no other years; DuckDB reads the ends of the range as infinity.
_FIRST_DAY, _LAST_DAY = -719162, 2932896  # 0001-01-01 and 9999-12-31, days since 1970-01-01
INSTANTS = (_FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1)
_RANGES = {  # what is a value of the type, in days or microseconds
    pa.date32(): (_FIRST_DAY, _LAST_DAY),
    TIMESTAMP: INSTANTS,
    TIMESTAMP_UTC: INSTANTS,
    TIME: (0, _DAY - 1),
}
_SHOWN_DAYS = 10_000_000  # 27,000 years
YEARS = "outside the years 0001 to 9999"
_YEARS_REMEDY = "send null where there is no time; check the unit (seconds, milliseconds, microseconds) of the source"
DIGITS_REMEDY = (
    "round the times to microseconds, or say what becomes of the digits: schema.subMicroseconds = round or truncate"
)
_FINE = 1000  # nanoseconds in a microsecond


def exact_cast(array: pa.Array, target: pa.DataType, path: str, fine: SubMicroseconds) -> pa.Array:
    """The plain `array` as the canonical type `target`; raises `UnfitValue` with the first value that does not survive.

    fine: what becomes of times with more digits than microseconds.
    """
    if array.type.equals(target) and not has_range(target):
        return array
    if pa.types.is_null(array.type) or (is_untyped(array.type) and not pa.types.is_struct(target)):
        return pa.nulls(len(array), target)
    if is_list(target):
        return list_of(array, exact_cast(pc.list_flatten(array), target.value_type, f"{path}[]", fine))
    if pa.types.is_struct(target):
        return _struct(array, target, path, fine)
    if pa.types.is_map(target):
        return _map(array, target, path, fine)
    return _in_range(_leaf(array, target, path, fine), array, path)


def shown(value: pa.Scalar) -> str:
    """`value` for a message, also when Python cannot represent it (nanoseconds, years beyond 9999)."""
    try:
        text = str(value.cast(pa.string()))
    except pa.ArrowException:
        text = repr(value)
    return text[:SHOWN_CHARACTERS]


def has_range(type_: pa.DataType) -> bool:
    """Whether not everything that the canonical type can hold is a value of it."""
    if not pa.types.is_nested(type_):
        return type_ in _RANGES
    return any(has_range(type_.field(index).type) for index in range(type_.num_fields))


def _struct(array: pa.StructArray, target: pa.StructType, path: str, fine: SubMicroseconds) -> pa.Array:
    present = {field.name: child for field, child in zip(array.type, array.flatten(), strict=True)}
    children = [
        exact_cast(present[field.name], field.type, f"{path}.{field.name}", fine)
        if field.name in present
        else pa.nulls(len(array), field.type)
        for field in target
    ]
    return pa.StructArray.from_arrays(children, fields=list(target), mask=array.is_null())


def _map(array: pa.MapArray, target: pa.MapType, path: str, fine: SubMicroseconds) -> pa.Array:
    listed = entries(array, array.keys, array.items)
    keys, items = pc.list_flatten(listed).flatten()
    return map_of(
        listed,
        exact_cast(keys, target.key_type, f"{path}{{key}}", fine),
        exact_cast(items, target.item_type, f"{path}{{value}}", fine),
    )


def _leaf(array: pa.Array, target: pa.DataType, path: str, fine: SubMicroseconds) -> pa.Array:
    cast = _cast_between(array.type, target, fine)
    try:
        return cast(array)
    except pa.ArrowInvalid as error:
        refused = _first_refused(array, cast)
        value = f"{shown(refused)} ({array.type})"
        if pa.types.is_timestamp(array.type) and not _is_fine(array.type):  # beyond 64 bits of microseconds
            value = f"{refused.value} {array.type.unit} since 1970"
            raise UnfitValue(path, value, str(target), f"but is {YEARS}", _YEARS_REMEDY) from error
        if _is_fine(array.type):
            problem = "which has fewer digits: precision would be lost"
            raise UnfitValue(path, value, str(target), problem, DIGITS_REMEDY) from error
        problem = "which cannot hold it: precision would be lost"
        remedy = f"round or convert the values so that they fit {target}, or send them under another column name"
        raise UnfitValue(path, value, str(target), problem, remedy) from error


def _is_fine(type_: pa.DataType) -> bool:
    return getattr(type_, "unit", None) == "ns"


def is_in_range(values: pa.Array | pa.ChunkedArray) -> bool:
    """Whether all are values of their type, one that `has_range` and is not nested."""
    low, high = _RANGES[values.type]
    first, last = ends_of(values)
    return bool(first is None or (first >= low and last <= high))


def _in_range(array: pa.Array, sent: pa.Array, path: str) -> pa.Array:
    """sent: the same values as the producer has them."""
    if array.type not in _RANGES or is_in_range(array):
        return array
    low, high = _RANGES[array.type]
    numbers = array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    outside = pc.index(pc.or_(pc.less(numbers, low), pc.greater(numbers, high)), True).as_py()
    if array.type == TIME:
        raise _outside_a_day(sent[outside], numbers[outside], path)
    value = _shown_instant(array[outside], numbers[outside].as_py())
    raise UnfitValue(path, value, str(array.type), f"but is {YEARS}", _YEARS_REMEDY)


def _outside_a_day(sent: pa.Scalar, micros: pa.Scalar, path: str) -> UnfitValue:
    if _is_fine(sent.type) and sent.value < _DAY * _FINE:
        return UnfitValue(path, shown(sent), "a time of day", f"which {TO_NEXT_DAY}", TO_NEXT_DAY_HINT)
    remedy = "send a duration where a day's length may be passed"
    return UnfitValue(path, f"{micros} microseconds", "a time of day", "which is outside a day", remedy)


def _shown_instant(value: pa.Scalar, number: int) -> str:
    """Arrow writes years beyond 16 bits as others."""
    unit, length = ("days", 1) if pa.types.is_date32(value.type) else ("microseconds", _DAY)
    return shown(value) if abs(number) < _SHOWN_DAYS * length else f"{number} {unit} since 1970"


def _cast_between(source: pa.DataType, target: pa.DataType, fine: SubMicroseconds) -> _Cast:
    if pa.types.is_integer(source) and pa.types.is_floating(target):
        return _integers_to_doubles
    if pa.types.is_integer(source) and pa.types.is_decimal(target):
        wide = pa.decimal256(_WIDE_DIGITS, target.scale)  # Arrow wants room for every integer, whatever the values are
        return lambda array: array.cast(wide).cast(target)
    if _is_fine(source) and target in (TIMESTAMP, TIMESTAMP_UTC, TIME, DURATION):
        return lambda array: to_microseconds(array, target, fine)
    return lambda array: array.cast(target)


def _integers_to_doubles(array: pa.Array) -> pa.Array:
    """Arrow accepts up to 2**53 only; larger integers may be exact too, multiples of a power of two."""
    try:
        return array.cast(pa.float64())
    except pa.ArrowInvalid:
        if any(value is not None and int(float(value)) != value for value in array.to_pylist()):
            raise
        return array.cast(pa.float64(), safe=False)


def _first_refused(array: pa.Array, cast: _Cast) -> pa.Scalar:
    """The first value `cast` refuses, by halving; some value is known to be refused."""
    while len(array) > 1:
        half = len(array) // 2
        array = array[half:] if _accepts(cast, array[:half]) else array[:half]
    return array[0]


def _accepts(cast: _Cast, array: pa.Array) -> bool:
    try:
        cast(array)
    except pa.ArrowInvalid:
        return False
    return True


def to_microseconds(array: pa.Array, target: pa.DataType, fine: SubMicroseconds) -> pa.Array:
    """A timestamp, time or duration in nanoseconds as `target`, in microseconds; `ArrowInvalid` for a refused digit.

    Truncating goes to the microsecond before, also before 1970; rounding to the nearest one, a half to the even one.
    """
    if fine is SubMicroseconds.REFUSE:
        return array.cast(target)
    nanoseconds = array.view(pa.int64())
    whole = _floor(nanoseconds)
    if fine is SubMicroseconds.ROUND:
        whole = _rounded(whole, pc.subtract(nanoseconds, pc.multiply(whole, _FINE)))
    return whole.view(target)


def _floor(nanoseconds: pa.Array) -> pa.Array:
    towards_zero = pc.divide(nanoseconds, _FINE)
    below = pc.less(nanoseconds, pc.multiply(towards_zero, _FINE))
    return pc.subtract(towards_zero, below.cast(pa.int64()))


def _rounded(whole: pa.Array, rest: pa.Array) -> pa.Array:
    half = pc.equal(rest, _FINE // 2)
    is_odd = pc.equal(pc.bit_wise_and(whole, 1), 1)
    up = pc.or_(pc.greater(rest, _FINE // 2), pc.and_(half, is_odd))
    return pc.add(whole, up.cast(pa.int64()))

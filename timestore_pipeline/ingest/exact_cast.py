"""Casts that either keep every value or name the first one they would change."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.model.canonical import is_list

_Cast = Callable[[pa.Array], pa.Array]
_SHOWN_CHARACTERS = 200
_WIDE_DIGITS = 76  # of decimal256: 19 for any int64 and every scale up to 38 fit


def exact_cast(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    """`array` as the canonical type `target`; `InvalidData` with `path` and the first value that does not survive."""
    array = _decoded(array)
    if array.type.equals(target):
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), target)
    if is_list(target):
        return _list(array, target, path)
    if pa.types.is_struct(target):
        return _struct(array, target, path)
    if pa.types.is_map(target):
        return _map(array, target, path)
    return _leaf(array, target, path)


def shown(value: pa.Scalar) -> str:
    """`value` for a message, also when Python cannot represent it (nanoseconds, years beyond 9999)."""
    try:
        text = str(value.cast(pa.string()))
    except pa.ArrowException:
        text = repr(value)
    return text[:_SHOWN_CHARACTERS]


def _decoded(array: pa.Array) -> pa.Array:
    while True:
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        elif isinstance(array, pa.RunEndEncodedArray):
            array = pc.run_end_decode(array)
        elif isinstance(array, pa.ExtensionArray):
            array = array.storage
        else:
            return array


def _list(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(array).cast(pa.int32()), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum_checked(lengths)])
    values = exact_cast(pc.list_flatten(array), target.value_type, f"{path}[]")
    return pa.ListArray.from_arrays(offsets, values, type=target, mask=array.is_null())


def _struct(array: pa.StructArray, target: pa.StructType, path: str) -> pa.Array:
    present = {field.name: child for field, child in zip(array.type, array.flatten(), strict=True)}
    children = [
        exact_cast(present[field.name], field.type, f"{path}.{field.name}")
        if field.name in present
        else pa.nulls(len(array), field.type)
        for field in target
    ]
    return pa.StructArray.from_arrays(children, fields=list(target), mask=array.is_null())


def _map(array: pa.MapArray, target: pa.MapType, path: str) -> pa.Array:
    array = array.take(pa.array(range(len(array))))  # keys and items of a slice still show the whole
    keys = exact_cast(array.keys, target.key_type, f"{path}{{key}}")
    items = exact_cast(array.items, target.item_type, f"{path}{{value}}")
    return pa.MapArray.from_arrays(array.offsets, keys, items, type=target, mask=array.is_null())


def _leaf(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    cast = _cast_between(array.type, target)
    try:
        return cast(array)
    except pa.ArrowInvalid as error:
        value = shown(_first_refused(array, cast))
        raise InvalidData(
            f"column {path!r} holds {value} ({array.type}), which {target} cannot hold: precision would be lost",
            hint=f"round or convert the values so that they fit {target}, or send them under another column name",
        ) from error


def _cast_between(source: pa.DataType, target: pa.DataType) -> _Cast:
    if pa.types.is_integer(source) and pa.types.is_floating(target):
        return _integers_to_doubles
    if pa.types.is_integer(source) and pa.types.is_decimal(target):
        wide = pa.decimal256(_WIDE_DIGITS, target.scale)  # Arrow wants room for every integer, whatever the values are
        return lambda array: array.cast(wide).cast(target)
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

"""Arrays without encodings: dictionaries looked up, runs written out, views and extension types turned into values.

Arrow's own decoding has no kernels for many layouts (a dictionary of string views, runs of dictionaries), so values are
made plain first, innermost before outermost, and looked up afterwards.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.model.refusals import null_key, too_many_digits
from timestore_pipeline.model.source_types import extension_of, is_list, plain_type

_DIGITS = 38


def plain_values(array: pa.Array, metadata: Mapping[bytes, bytes] | None, path: str) -> pa.Array:
    """`array` in the type that `plain_type` gives for it; raises `UnfitValue` for a value that it cannot hold."""
    target = plain_type(array.type, metadata, path)
    if array.type.equals(target, check_metadata=True):
        return array
    extension = extension_of(array.type, metadata)
    if extension is not None:
        storage = plain_values(array.storage if isinstance(array, pa.ExtensionArray) else array, None, path)
        return _EXTENSIONS.get(extension.name, _as_it_is)(storage, path)
    return _decoded(array, target, path)


def entries(array: pa.MapArray, keys: pa.Array, items: pa.Array) -> pa.Array:
    """A map as a list of structs with `key` and `value`; the keys and items of a slice still are those of the whole."""
    pairs = pa.StructArray.from_arrays([keys, items], names=["key", "value"])
    return pa.ListArray.from_arrays(pc.add(array.offsets, 0), pairs, mask=array.is_null())


def list_of(array: pa.Array, values: pa.Array) -> pa.Array:
    """The list `array`, in any layout, with other values; `values` has those that are not under a null, in order."""
    lengths = pc.fill_null(pc.list_value_length(array).cast(pa.int32()), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum_checked(lengths)])
    return pa.ListArray.from_arrays(offsets, values, type=pa.list_(values.type), mask=array.is_null())


def map_of(listed: pa.Array, keys: pa.Array, items: pa.Array) -> pa.Array:
    """The inverse of `entries`, with other keys and items, as they are when `listed` is flattened."""
    again = list_of(listed, pa.StructArray.from_arrays([keys, items], names=["key", "value"]))
    type_ = pa.map_(keys.type, items.type)
    return pa.MapArray.from_arrays(again.offsets, keys, items, type=type_, mask=again.is_null())


def _decoded(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    if isinstance(array, pa.DictionaryArray):
        return plain_values(array.dictionary, None, path).take(array.indices)
    if isinstance(array, pa.RunEndEncodedArray):
        values = plain_values(array.values, None, path)
        runs = pa.RunEndEncodedArray.from_arrays(array.run_ends, values)  # those of a slice still are the whole's
        return pc.run_end_decode(runs.slice(array.offset, len(array)))
    if is_list(array.type):
        return _list(array, path)
    if pa.types.is_struct(array.type):
        return _struct(array, target, path)
    if pa.types.is_map(array.type):
        return _map(array, path)
    return array.cast(target)


def _list(array: pa.Array, path: str) -> pa.Array:
    """The values first: Arrow cannot flatten lists of some encodings. Some lie under a null."""
    field = array.type.value_field
    values = plain_values(array.values, field.metadata, f"{path}[]")
    if isinstance(array, pa.FixedSizeListArray) and array.type.list_size == 0:  # Arrow makes none of other values
        return list_of(array, values.slice(0, 0))
    plain = _with_values(array, values)
    return list_of(plain, pc.list_flatten(plain))


def _with_values(array: pa.Array, values: pa.Array) -> pa.Array:
    """The list in its own layout, over other values in the places of its own."""
    kind, mask = type(array), array.is_null()
    if isinstance(array, pa.FixedSizeListArray):
        size = array.type.list_size
        return kind.from_arrays(values.slice(array.offset * size, len(array) * size), size, mask=mask)
    offsets = pc.add(array.offsets, 0)  # Arrow takes no mask with offsets that are a slice
    if isinstance(array, (pa.ListViewArray, pa.LargeListViewArray)):
        return kind.from_arrays(offsets, pc.add(array.sizes, 0), values, mask=mask)
    return kind.from_arrays(offsets, values, mask=mask)


def _struct(array: pa.StructArray, target: pa.StructType, path: str) -> pa.Array:
    fields = zip(array.type, array.flatten(), strict=True)
    children = [plain_values(child, field.metadata, f"{path}.{field.name}") for field, child in fields]
    return pa.StructArray.from_arrays(children, fields=list(target), mask=array.is_null())


def _map(array: pa.MapArray, path: str) -> pa.Array:
    kind = array.type
    keys = plain_values(array.keys, kind.key_field.metadata, f"{path}{{key}}")
    listed = entries(array, keys, plain_values(array.items, kind.item_field.metadata, f"{path}{{value}}"))
    used, items = pc.list_flatten(listed).flatten()
    if used.null_count:  # a dictionary may have a null among its values
        raise null_key(path)
    return map_of(listed, used, items)


def _as_it_is(array: pa.Array, path: str) -> pa.Array:  # noqa: ARG001
    return array


def uuid_text(array: pa.Array, path: str) -> pa.Array:  # noqa: ARG001
    """16 bytes a value, as lower-case text with hyphens."""
    return pa.array(
        [None if value is None else str(uuid.UUID(bytes=value)) for value in array.to_pylist()], pa.string()
    )


def _truth(array: pa.Array, path: str) -> pa.Array:  # noqa: ARG001
    return pc.not_equal(array, 0)


def _wide_integers(signed: bool) -> Callable[[pa.Array, str], pa.Array]:
    def decimals(array: pa.Array, path: str) -> pa.Array:
        numbers = [
            None if value is None else int.from_bytes(value, "little", signed=signed) for value in array.to_pylist()
        ]
        for number in numbers:
            if number is not None and abs(number) >= 10**_DIGITS:
                raise too_many_digits(path, number)
        return pa.array(numbers, pa.decimal128(_DIGITS, 0))

    return decimals


_EXTENSIONS: dict[str, Callable[[pa.Array, str], pa.Array]] = {
    "arrow.uuid": uuid_text,
    "arrow.bool8": _truth,
    "DuckDB.hugeint": _wide_integers(signed=True),
    "DuckDB.uhugeint": _wide_integers(signed=False),
}

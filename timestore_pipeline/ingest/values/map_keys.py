"""Maps that no engine keeps: those with a key twice, or with a null for a key.

Arrow holds a key twice, and DuckDB refuses it when it writes, where the row is not known any more. Keys are compared as
DuckDB compares them: every NaN is one key, and so are 0.0 and -0.0.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.ingest.values.plain_values import entries, list_of
from timestore_pipeline.model.refusals import UnfitValue

_NAN = object()
_REMEDY = "send each key of a map once, or send a list of structs with a key and a value"


def has_map(type_: pa.DataType) -> bool:
    """Whether there is a map in it, at any depth."""
    return pa.types.is_map(type_) or any(has_map(type_.field(index).type) for index in range(type_.num_fields))


def check_map_keys(array: pa.Array, path: str) -> None:
    """Raise `UnfitValue` for a map, at any depth of an array of a canonical or stored type, that has a key twice."""
    kind = array.type
    if not has_map(kind):
        return
    if pa.types.is_list(kind):
        check_map_keys(pc.list_flatten(array), f"{path}[]")
    elif pa.types.is_map(kind):
        _check_map(array, path)
    else:
        for field, child in zip(kind, array.flatten(), strict=True):
            check_map_keys(child, f"{path}.{field.name}")


def _check_map(array: pa.MapArray, path: str) -> None:
    listed = entries(array, array.keys, array.items)
    listed = list_of(listed, pc.list_flatten(listed))  # without what lies under a null
    keys, items = listed.values.flatten()
    repeated = _first_repeated(pc.list_parent_indices(listed), keys)
    if repeated is not None:
        key = repeated.as_py()
        text = repr(key) if isinstance(key, (str, bytes, list, dict)) else str(key)
        raise UnfitValue(f"{path}{{key}}", text, "a key", "which its map has twice", _REMEDY)
    check_map_keys(keys, f"{path}{{key}}")
    check_map_keys(items, f"{path}{{value}}")


def _first_repeated(maps: pa.Array, keys: pa.Array) -> pa.Scalar | None:
    """The first key that its map has twice. maps: the place of each key's map."""
    codes = _codes(keys)
    marks = pc.add(pc.multiply(maps.cast(pa.int64()), len(keys)), codes)
    if len(pc.unique(marks)) == len(marks):
        return None
    seen: set[int] = set()
    for key, mark in zip(keys, marks.to_pylist(), strict=True):
        if mark in seen:
            return key
        seen.add(mark)
    raise AssertionError("one of them is there twice")


def _codes(keys: pa.Array) -> pa.Array:
    """A number for each key, the same for the same key, below the number of keys."""
    if not pa.types.is_nested(keys.type) and not pa.types.is_floating(keys.type):
        return keys.dictionary_encode().indices.cast(pa.int64())
    numbers: dict[Any, int] = {}
    return pa.array([numbers.setdefault(_comparable(key), len(numbers)) for key in keys.to_pylist()], pa.int64())


def _comparable(value: Any) -> Any:
    """With NaN equal to itself, and in types that a dictionary takes for its keys."""
    if isinstance(value, dict):
        return tuple(map(_comparable, value.values()))
    if isinstance(value, (list, tuple)):
        return tuple(map(_comparable, value))
    return _NAN if isinstance(value, float) and value != value else value

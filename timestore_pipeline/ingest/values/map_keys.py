"""Maps that no engine keeps: those with a key twice, or with a null for a key.

Arrow holds a key twice, and DuckDB refuses it when it writes, where the row is not known any more. Keys are compared as
DuckDB compares them: every NaN is one key, and so are 0.0 and -0.0.

Null keys in Arrow streams and files are refused before Arrow makes arrays of them. The format allows such a key to be
written, and Arrow ends the process that opens such an array. How many nulls a batch has, and where, stands in its head,
which can be read without. Data handed over in memory are checked in `handed_over`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.ingest.values.flatbuffer import Table
from timestore_pipeline.ingest.values.plain_values import entries, list_of
from timestore_pipeline.model.refusals import UnfitValue, null_key

_NAN = object()
_REMEDY = "send each key of a map once, or send a list of structs with a key and a value"
_FILE_MAGIC = b"ARROW1"
_FIRST_MESSAGE = 8  # byte of a file
_HEADER, _NODES = 2, 1  # places in the tables of a message and of a record batch
_NODE = "<qq"  # values, and nulls among them


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


def refuse_null_keys(file: pa.NativeFile, schema: pa.Schema) -> None:
    """Raise `InvalidData` for the first null key in a stream or a file; leaves `file` at its beginning."""
    file.seek(0)
    if any(has_map(field.type) for field in schema):
        is_file = file.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        file.seek(_FIRST_MESSAGE if is_file else 0)
        _check_messages(pa.ipc.MessageReader.open_stream(file), schema)
        file.seek(0)


def _check_messages(messages: Iterator[pa.ipc.Message], schema: pa.Schema) -> None:
    keys = list(key_nodes(schema))
    first = 0
    for message in _whole(messages):
        if message.type != "record batch":
            continue
        head = Table.root(message.metadata.to_pybytes()).table(_HEADER)
        nodes = [] if head is None else list(head.structs(_NODES, _NODE))
        for column, path, places in keys:
            if any(place < len(nodes) and nodes[place][1] for place in places):
                row = _row_of(message, schema, column)
                raise null_key(path).in_row(range(first, first + nodes[0][0]) if row is None else first + row)
        first += nodes[0][0] if nodes else 0


def _whole(messages: Iterator[pa.ipc.Message]) -> Iterator[pa.ipc.Message]:
    """Those before the end, or the damage, which is reported when the rows are read."""
    try:
        yield from messages
    except (pa.ArrowException, OSError):
        return


def key_nodes(schema: pa.Schema) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Column, path and nodes (entries and keys) of every map: a batch has a node for each array, outer ones first."""
    count = 0

    def visit(kind: pa.DataType, column: str, path: str) -> Iterator[tuple[str, str, tuple[int, int]]]:
        nonlocal count
        place, count = count, count + 1
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        if pa.types.is_map(kind):
            yield column, path, (place + 1, place + 2)
            count += 1
            yield from visit(kind.key_type, column, f"{path}{{key}}")
            yield from visit(kind.item_type, column, f"{path}{{value}}")
        elif not pa.types.is_dictionary(kind):
            for index in range(kind.num_fields):
                inner = f"{path}.{kind.field(index).name}" if pa.types.is_struct(kind) else f"{path}[]"
                yield from visit(kind.field(index).type, column, inner)

    for field in schema:
        yield from visit(field.type, field.name, field.name)


def _row_of(message: pa.ipc.Message, schema: pa.Schema, column: str) -> int | None:
    """Of the batch; None where it cannot be read without the dictionaries before it, or without maps."""
    listed = pa.schema([field.with_type(_without_maps(field.type)) for field in schema])
    if any(has_map(field.type) for field in listed):
        return None
    try:
        values = pa.ipc.read_record_batch(message, listed).column(column)
    except (pa.ArrowException, KeyError):
        return None
    kind = schema.field(column).type
    return next((row for row, value in enumerate(values.to_pylist()) if _has_null_key(value, kind)), None)


def _without_maps(kind: pa.DataType) -> pa.DataType:
    """With each map as the list that it is stored as."""
    if pa.types.is_map(kind):
        pair = [("key", _without_maps(kind.key_type)), ("value", _without_maps(kind.item_type))]
        return pa.list_(pa.struct(pair))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_maps(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_without_maps(kind.value_type))
    return pa.large_list(_without_maps(kind.value_type)) if pa.types.is_large_list(kind) else kind


def _has_null_key(value: Any, kind: pa.DataType) -> bool:
    if value is None:
        return False
    if pa.types.is_map(kind):
        inside = ((pair["key"], pair["value"]) if pair else (None, None) for pair in value)
        return any(
            key is None or _has_null_key(key, kind.key_type) or _has_null_key(item, kind.item_type)
            for key, item in inside
        )
    if pa.types.is_struct(kind):
        return any(_has_null_key(value[field.name], field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return any(_has_null_key(inner, kind.value_type) for inner in value)
    return False

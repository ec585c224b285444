"""Maps with a null for a key, in Arrow streams and files: they are refused before Arrow makes arrays of them.

The format allows it to be written, and Arrow ends the process that opens such an array. How many nulls a batch has, and
where, stands in its head, which can be read without. What is handed over in memory is checked in `handed_over`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from timestore_pipeline.ingest.values.flatbuffer import Table
from timestore_pipeline.ingest.values.map_keys import has_map
from timestore_pipeline.model.refusals import null_key

_FILE_MAGIC = b"ARROW1"
_FIRST_MESSAGE = 8  # byte of a file
_HEADER, _NODES = 2, 1  # places in the tables of a message and of a record batch
_NODE = "<qq"  # values, and nulls among them


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

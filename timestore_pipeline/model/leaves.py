"""Leaves of types, at any depth, that need a decision: those without a type yet, and timestamps without a time zone.

A type waits where only nulls have arrived, such as the element of an always empty list. The first value settles it. A
flush before that has to publish some type, and uses text.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from timestore_pipeline.model.canonical import TIMESTAMP_UTC
from timestore_pipeline.model.source_types import is_list


def waiting_leaves(schema: pa.Schema) -> list[str]:
    """Paths such as `o.tags[]`."""
    return [path for field in schema for path in _waiting(field.type, field.name)]


def settled_as_text(type_: pa.DataType) -> pa.DataType:
    """The canonical type with text for each waiting leaf."""
    if pa.types.is_null(type_):
        return pa.string()
    if pa.types.is_list(type_):
        return pa.list_(settled_as_text(type_.value_type))
    if pa.types.is_map(type_):
        return pa.map_(settled_as_text(type_.key_type), settled_as_text(type_.item_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, settled_as_text(field.type)) for field in type_])
    return type_


def schema_settled_as_text(schema: pa.Schema) -> pa.Schema:
    """The same for all columns."""
    return pa.schema([pa.field(field.name, settled_as_text(field.type)) for field in schema])


def _waiting(type_: pa.DataType, path: str) -> Iterator[str]:
    if pa.types.is_null(type_):
        yield path
    elif pa.types.is_list(type_):
        yield from _waiting(type_.value_type, f"{path}[]")
    elif pa.types.is_map(type_):
        yield from _waiting(type_.key_type, f"{path}{{key}}")
        yield from _waiting(type_.item_type, f"{path}{{value}}")
    elif pa.types.is_struct(type_):
        for field in type_:
            yield from _waiting(field.type, f"{path}.{field.name}")


def local_paths(type_: pa.DataType, path: str) -> Iterator[str]:
    """The path of every timestamp without a time zone in the plain `type_`."""
    if pa.types.is_timestamp(type_) and type_.tz is None:
        yield path
    elif is_list(type_):
        yield from local_paths(type_.value_type, f"{path}[]")
    elif pa.types.is_struct(type_):
        for field in type_:
            yield from local_paths(field.type, f"{path}.{field.name}")
    elif pa.types.is_map(type_):
        yield from local_paths(type_.key_type, f"{path}{{key}}")
        yield from local_paths(type_.item_type, f"{path}{{value}}")


def schema_local_paths(schema: pa.Schema) -> list[str]:
    return [path for field in schema for path in local_paths(field.type, field.name)]


def first_local_path(type_: pa.DataType, path: str) -> str | None:
    return next(local_paths(type_, path), None)


def in_utc(type_: pa.DataType, known: pa.DataType | None) -> pa.DataType:
    """The plain `type_` with instants for local timestamps, except where the dataset's column is local already."""
    if pa.types.is_timestamp(type_):
        is_local = known is not None and pa.types.is_timestamp(known) and known.tz is None
        return type_ if type_.tz is not None or is_local else TIMESTAMP_UTC
    if is_list(type_):
        return pa.list_(in_utc(type_.value_type, known.value_type if known is not None and is_list(known) else None))
    if pa.types.is_struct(type_):
        there = {field.name: field.type for field in known} if known is not None and pa.types.is_struct(known) else {}
        return pa.struct([pa.field(field.name, in_utc(field.type, there.get(field.name))) for field in type_])
    if pa.types.is_map(type_):
        key, item = (known.key_type, known.item_type) if known is not None and pa.types.is_map(known) else (None, None)
        return pa.map_(in_utc(type_.key_type, key), in_utc(type_.item_type, item))
    return type_

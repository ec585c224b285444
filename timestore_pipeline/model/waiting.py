"""Waiting types: leaves of a schema for which only nulls have arrived, such as the element of an always empty list.

The first value settles the type. A flush before that has to publish some type, and uses text.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa


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

"""Joining what Arrow inferred from the blocks of one NDJSON file into one schema."""

from __future__ import annotations

import pyarrow as pa

from timestore_pipeline.errors import InvalidData

_NUMBERS = frozenset({pa.int64(), pa.float64()})


def merge_schemas(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Columns of both, in order of first appearance; `InvalidData` names a column whose kind changes between them."""
    return pa.schema(list(merge_types(pa.struct(list(one)), pa.struct(list(other)), "")))


def merge_types(one: pa.DataType, other: pa.DataType, path: str) -> pa.DataType:
    """The type that holds values of both."""
    t = pa.types
    if one == other or t.is_null(other):
        return one
    if t.is_null(one):
        return other
    if t.is_struct(one) and t.is_struct(other):
        return _merge_structs(one, other, path)
    if t.is_list(one) and t.is_list(other):
        return pa.list_(merge_types(one.value_type, other.value_type, f"{path}[]"))
    if {one, other} == _NUMBERS:
        return pa.float64()
    hint = "write one kind of value per column, or null"
    raise InvalidData(f"column {path!r} changes from {one} to {other} within the file", hint=hint)


def with_plain_strings(type_: pa.DataType) -> pa.DataType:
    """`type_` with every timestamp turned back into the string it was read from."""
    if pa.types.is_timestamp(type_):
        return pa.string()
    if pa.types.is_list(type_):
        return pa.list_(with_plain_strings(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, with_plain_strings(field.type)) for field in type_])
    return type_


def _merge_structs(one: pa.StructType, other: pa.StructType, path: str) -> pa.DataType:
    types = {field.name: field.type for field in one}
    for field in other:
        inner = f"{path}.{field.name}".lstrip(".")
        types[field.name] = merge_types(types.get(field.name, pa.null()), field.type, inner)
    return pa.struct(list(types.items()))

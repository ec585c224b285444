"""Rows in a dataset's own columns: same names, order and types, every value exactly what the producer sent.

Pure, and before anything is staged: a value that does not fit is refused here, in the producer's call, where it can
still be repaired. Later it would be a batch that fails every flush.

Rows as they are staged and published: times of day and durations as their microseconds.

Arrow's own `view` would do, but damages lists of nothing but nulls on the way.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.values.by_row import converted
from timestore_pipeline.ingest.values.exact_cast import exact_cast, has_range
from timestore_pipeline.ingest.values.map_keys import check_map_keys, has_map
from timestore_pipeline.ingest.values.plain_values import entries, list_of, map_of
from timestore_pipeline.ingest.values.policy import DEFAULT_POLICY, ValuePolicy
from timestore_pipeline.model.canonical import DURATION, TIME, is_untyped, stored_schema, stored_type


def conform(
    table: pa.Table, schema: pa.Schema, time_column: str | None, policy: ValuePolicy = DEFAULT_POLICY
) -> pa.Table:
    """`table`, as `interpret` returned it, in the columns of the canonical `schema`, as `evolve` returned it for them.

    The result is in the types in which rows are stored: a time of day or a duration is a number of microseconds.
    Missing columns become nulls. Raises `InvalidData` with the column, the row and the first value that would change,
    lies outside the years 0001 to 9999, or is a key that its map has twice; or when `time_column` is no timestamp or
    date column; None = there is none.
    """
    _check_time_column(schema, time_column)
    stored = stored_schema(schema)
    present = {field.name: position for position, field in enumerate(table.schema)}
    _check_known(table.schema, schema)
    columns = [
        _stored(table.column(present[field.name]), field, policy)
        if field.name in present
        else pa.nulls(table.num_rows, stored_type(field.type))
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=stored)


def columns_with_range(schema: pa.Schema) -> list[int] | None:
    """Positions of the columns in which not every value can be kept, where all others are stored as they come.

    None = rows in the canonical `schema` are not stored as they come.
    """
    if schema != stored_schema(schema) or any(has_map(field.type) for field in schema):
        return None
    ranged = [position for position, field in enumerate(schema) if has_range(field.type)]
    return None if any(pa.types.is_nested(schema.field(position).type) for position in ranged) else ranged


def _check_time_column(schema: pa.Schema, time_column: str | None) -> None:
    if time_column is None:
        return
    position = schema.get_field_index(time_column)
    type_ = schema.field(position).type if position >= 0 else None
    if type_ is None or not (pa.types.is_timestamp(type_) or pa.types.is_date(type_)):
        found = "missing" if type_ is None else f"of type {type_}"
        raise InvalidData(
            f"time column {time_column!r} is {found}; it must be a timestamp or a date",
            hint="send that column, or name another with `timestore datasets set` (time_column)",
        )


def _check_known(incoming: pa.Schema, schema: pa.Schema) -> None:
    names = frozenset(schema.names)
    for field in incoming:
        if field.name not in names and not is_untyped(field.type):
            raise InvalidData(f"column {field.name!r} is not in the dataset's schema", hint="evolve the schema first")


def _stored(column: pa.ChunkedArray, field: pa.Field, policy: ValuePolicy) -> pa.ChunkedArray:
    stored = stored_type(field.type)
    if column.type.equals(field.type) and column.type.equals(stored) and not has_range(stored) and not has_map(stored):
        return column

    def convert(array: pa.Array) -> pa.Array:
        values = stored_values(exact_cast(array, field.type, field.name, policy.sub_microseconds))
        check_map_keys(values, field.name)
        return values

    return converted(column, field.name, stored, convert)


def stored_values(array: pa.Array) -> pa.Array:
    """An array of a canonical type in its `stored_type`."""
    kind = array.type
    if stored_type(kind).equals(kind):
        return array
    if kind in (TIME, DURATION):
        return array.view(pa.int64())
    if pa.types.is_list(kind):
        return list_of(array, stored_values(pc.list_flatten(array)))
    if pa.types.is_map(kind):
        listed = entries(array, array.keys, array.items)
        return map_of(listed, *map(stored_values, pc.list_flatten(listed).flatten()))
    children = [stored_values(child) for child in array.flatten()]
    names = [field.name for field in kind]
    return pa.StructArray.from_arrays(children, names=names, mask=array.is_null())

"""Rows in a dataset's own columns: same names, order and types, every value exactly what the producer sent.

Pure, and before anything is staged: a value that does not fit is refused here, in the producer's call, where somebody
can still repair it. Later it would be a batch that fails every flush.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.exact_cast import exact_cast, shown
from timestore_pipeline.ingest.policy import DEFAULT_POLICY, ValuePolicy
from timestore_pipeline.model.canonical import is_list, is_untyped

# Python, pandas, Delta statistics and most engines know no other years; DuckDB reads the ends of the range as infinity.
_FIRST_DAY, _LAST_DAY = -719162, 2932896  # 0001-01-01 and 9999-12-31, days since 1970-01-01
_DAY = 86_400_000_000  # microseconds


def conform(
    table: pa.Table,
    schema: pa.Schema,
    time_column: str | None,
    policy: ValuePolicy = DEFAULT_POLICY,  # noqa: ARG001
) -> pa.Table:
    """`table`, as `interpret` returned it, in the columns of the canonical `schema`, as `evolve` returned it for them.

    Missing columns become nulls. Raises `InvalidData` with the column and the first value that would change or lies
    outside the years 0001 to 9999, or when `time_column` (None = the dataset has none) is no timestamp or date column.
    """
    _check_time_column(schema, time_column)
    if not table.schema.equals(schema):
        table = _in_columns(table, schema)
    elif table.schema.metadata:
        table = table.replace_schema_metadata(None)
    for name, column in zip(schema.names, table.columns, strict=True):
        _check_years(column, name)
    return table


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


def _in_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    present = {field.name: position for position, field in enumerate(table.schema)}
    for field in table.schema:
        if field.name not in schema.names and not is_untyped(field.type):
            raise InvalidData(f"column {field.name!r} is not in the dataset's schema", hint="evolve the schema first")
    columns = [
        _convert(table.column(present[field.name]), field) if field.name in present else _nulls(table, field)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _nulls(table: pa.Table, field: pa.Field) -> pa.Array:
    return pa.nulls(table.num_rows, field.type)


def _convert(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if column.type.equals(field.type):
        return column
    return pa.chunked_array([exact_cast(chunk, field.type, field.name) for chunk in column.chunks], type=field.type)


def _check_years(values: pa.ChunkedArray | pa.Array, path: str) -> None:
    type_ = values.type
    if pa.types.is_date32(type_):
        _check_range(values, _FIRST_DAY, _LAST_DAY, path)
    elif pa.types.is_timestamp(type_):
        _check_range(values, _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1, path)
    elif pa.types.is_nested(type_):
        for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
            _check_nested_years(chunk, path)


def _check_nested_years(array: pa.Array, path: str) -> None:
    if is_list(array.type):
        _check_years(array.flatten(), f"{path}[]")
    elif pa.types.is_struct(array.type):
        for field, child in zip(array.type, array.flatten(), strict=True):
            _check_years(child, f"{path}.{field.name}")
    elif pa.types.is_map(array.type):
        entries = array.take(pa.array(range(len(array))))  # keys and items of a slice still show the whole
        _check_years(entries.keys, f"{path}{{key}}")
        _check_years(entries.items, f"{path}{{value}}")


def _check_range(values: pa.ChunkedArray | pa.Array, low: int, high: int, path: str) -> None:
    ends = pc.min_max(values)
    first, last = ends["min"].value, ends["max"].value  # as numbers: Python has no datetime for the years looked for
    if first is None or (first >= low and last <= high):
        return
    numbers = values.cast(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
    outside = pc.index(pc.or_(pc.less(numbers, low), pc.greater(numbers, high)), True).as_py()
    raise InvalidData(
        f"column {path!r} holds {shown(values[outside])}, outside the years 0001 to 9999",
        hint="send null where there is no time; check the unit (seconds, milliseconds, microseconds) of the source",
    )

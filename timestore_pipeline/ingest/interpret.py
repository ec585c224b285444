"""Incoming rows as what they mean to their dataset: encodings undone, declared meanings applied.

Before the schema evolves: after this step a column's type says what its values are, so that `evolve` compares like with
like. A column declared `epoch_ms` arrives there as an instant, an extension type as the values that it stands for.
"""

from __future__ import annotations

import pyarrow as pa

from timestore_pipeline.ingest.by_row import converted
from timestore_pipeline.ingest.exact_cast import exact_cast
from timestore_pipeline.ingest.meanings import as_declared, meant_type
from timestore_pipeline.ingest.pandas_notes import float_columns, whole_numbers
from timestore_pipeline.ingest.plain_values import plain_values
from timestore_pipeline.ingest.policy import ValuePolicy
from timestore_pipeline.model.dataset import LocalTimestamps
from timestore_pipeline.model.local_times import first_local_path, in_utc
from timestore_pipeline.model.refusals import refused_type
from timestore_pipeline.model.source_types import plain_type

_REFUSED_LOCAL = "and the dataset takes no timestamps without a time zone (schema.localTimestamps = refuse)"
_LOCAL_REMEDY = "send instants with a time zone, or set schema.localTimestamps to utc or feature"


def interpret(table: pa.Table, policy: ValuePolicy, known: pa.Schema | None) -> pa.Table:
    """`table` with every column in a plain type, and without metadata.

    known: the dataset's schema, None before its first batch. Raises `InvalidData` with the column's path, its type and
    the way out where no dataset can hold that type, or where the policy refuses it.
    """
    types = {} if known is None else {field.name: field.type for field in known}
    before = table.columns
    columns = [_plain(column, field) for column, field in zip(before, table.schema, strict=True)]
    with_gaps = float_columns(table.schema.metadata)
    for position, name in enumerate(table.column_names):
        column = columns[position]
        if name in with_gaps:
            column = whole_numbers(column, types.get(name))
        if name in policy.declared:
            column = _declared(column, name, policy)
        columns[position] = _localized(column, name, policy, types.get(name))
    if table.schema.metadata is None and all(new is old for new, old in zip(columns, before, strict=True)):
        return table
    return pa.Table.from_arrays(columns, names=table.column_names)


def _plain(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    target = plain_type(field.type, field.metadata, field.name)
    if column.type.equals(target, check_metadata=True):
        return column
    return converted(column, field.name, target, lambda chunk: plain_values(chunk, field.metadata, field.name))


def _declared(column: pa.ChunkedArray, name: str, policy: ValuePolicy) -> pa.ChunkedArray:
    declared = policy.declared[name]
    target = meant_type(column.type, declared)
    if target is None:
        return column
    return converted(column, name, target, lambda chunk: as_declared(chunk, declared, name, policy.sub_microseconds))


def _localized(column: pa.ChunkedArray, name: str, policy: ValuePolicy, known: pa.DataType | None) -> pa.ChunkedArray:
    """Timestamps without a time zone, as the dataset takes them; a column that is local already stays so."""
    if policy.local_timestamps is LocalTimestamps.FEATURE:
        return column
    local = first_local_path(column.type, name)
    if local is None:
        return column
    if policy.local_timestamps is LocalTimestamps.REFUSE:
        raise refused_type(local, "timestamp without a time zone", _LOCAL_REMEDY, _REFUSED_LOCAL)
    target = in_utc(column.type, known)
    return converted(column, name, target, lambda chunk: exact_cast(chunk, target, name, policy.sub_microseconds))

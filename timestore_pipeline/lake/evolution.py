"""Which schemas a Delta table can hold, and which changes it takes: new nullable columns, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from deltalake import Field, Schema

from timestore_pipeline.errors import InvalidData, SchemaConflict
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.model.canonical import canonical_type

_SIMPLE: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_boolean,
    pa.types.is_signed_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_date32,
    pa.types.is_decimal128,
)


def table_schema(schema: pa.Schema, partitioning: Partitioning) -> pa.Schema:
    """The Delta table's schema for rows with `schema`: every column nullable, the partition column last.

    Raise `InvalidData` for a type that Delta lacks or would silently reinterpret, `SchemaConflict` when the rows have a
    column of the partition column's name.
    """
    partition = partitioning.field
    if partition is not None and partition.name in schema.names:
        raise SchemaConflict(
            f"column {partition.name!r} is reserved for the partition",
            column=partition.name,
            existing=str(partition.type),
            incoming=str(schema.field(partition.name).type),
            hint="rename the column, or set the dataset's granularity to none",
        )
    fields = [pa.field(field.name, _stored(field.type, field.name)) for field in schema]
    return pa.schema(fields if partition is None else [*fields, partition])


def missing_columns(existing: Schema, wanted: pa.Schema) -> list[Field]:
    """The fields of `wanted` the table has not got.

    Raise `SchemaConflict` for one it has with another type, `InvalidData` for a new one that is nested too deeply."""
    known = {field.name.casefold(): field for field in existing.fields}
    missing = []
    for field in Schema.from_arrow(wanted).fields:
        present = known.get(field.name.casefold())
        if present is None:
            canonical_type(wanted.field(field.name).type, field.name)  # too deep, and no reader could open the table
            missing.append(field)
        elif (present.name, present.type) != (field.name, field.type):
            raise _conflict(present, field)
    return missing


def as_published(existing: Schema, rows: pa.Schema) -> pa.Schema:
    """The canonical schema `rows`, with the table's spelling and type of every column that the table has.

    Raise `InvalidData` when such a column has a type that no dataset can have.
    """
    known = {field.name.casefold(): field for field in pa.schema(existing.to_arrow())}
    present = (known.get(field.name.casefold(), field) for field in rows)
    return pa.schema([pa.field(field.name, canonical_type(field.type, field.name)) for field in present])


def check_partitioning(existing: list[str], partitioning: Partitioning) -> None:
    """Raise `SchemaConflict` when the table is partitioned by another column: Delta cannot change that."""
    wanted = [partitioning.column] if partitioning.column else []
    if existing != wanted:
        raise SchemaConflict(
            f"the table is partitioned by {existing or 'nothing'}, not by {wanted or 'nothing'}",
            column=partitioning.column or existing[0],
            existing=str(existing),
            incoming=str(wanted),
            hint="its rows need the time column by which the table is laid out; or move that table out of the lake",
        )


def _conflict(present: Field, incoming: Field) -> SchemaConflict:
    return SchemaConflict(
        f"column {incoming.name!r} is {_spelt(incoming)}, but the lake has {present.name!r} as {_spelt(present)}",
        column=incoming.name,
        existing=_spelt(present),
        incoming=_spelt(incoming),
        hint="who made this table? If it is no dataset of ours, move that table out of the lake, or publish elsewhere"
        " (TIMESTORE_LAKE_URI); what is staged stays staged",
    )


def _spelt(field: Field) -> str:
    return str(getattr(field.type, "type", field.type))


def _stored(kind: pa.DataType, path: str) -> pa.DataType:
    """The Arrow type as which Delta keeps `kind`; raise `InvalidData` naming `path`."""
    if any(matches(kind) for matches in _SIMPLE):
        return kind
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return pa.timestamp("us", tz=None if kind.tz is None else "UTC")
    if pa.types.is_struct(kind):
        return pa.struct(_children(kind, path))
    if pa.types.is_list(kind):
        return pa.list_(_stored(kind.value_type, f"{path}[]"))
    if pa.types.is_map(kind):
        return pa.map_(_stored(kind.key_type, f"{path}.key"), _stored(kind.item_type, f"{path}.value"))
    raise InvalidData(
        f"column {path!r} is {kind}, which Delta Lake cannot keep without loss",
        hint="use signed integers, microsecond timestamps, decimals of up to 38 digits, strings or binary",
    )


def _children(kind: pa.StructType, path: str) -> Iterator[pa.Field]:
    for index in range(kind.num_fields):
        child = kind.field(index)
        yield pa.field(child.name, _stored(child.type, f"{path}.{child.name}"))

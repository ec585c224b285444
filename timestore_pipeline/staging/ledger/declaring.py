"""New metadata of a dataset, and what they mean for the columns and the layout that it has.

As long as nothing of it is published a column takes the type that is declared for it, if every staged value survives
that, and the layout follows the metadata. Afterwards both stay as they are, and what contradicts them is refused.
"""

from __future__ import annotations

import sqlite3

import pyarrow as pa

from timestore_pipeline.errors import InvalidMetadata, SchemaConflict
from timestore_pipeline.model.batch import Extents
from timestore_pipeline.model.dataset import DatasetMetadata, Granularity
from timestore_pipeline.model.declared import tells_time, type_text
from timestore_pipeline.model.widening import check_extents, publish_first, retype
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.staging.ledger.schema_changes import extents_of, mark_declared, write

_Layout = tuple[str | None, Granularity | None]


def replace_metadata(tx: sqlite3.Connection, record: DatasetRecord, metadata: DatasetMetadata) -> None:
    """Write new metadata; raises `InvalidMetadata` or `SchemaConflict` when they contradict what is published."""
    _settle_declared(tx, record, metadata)
    values = metadata.to_json(), int(_paused(record, metadata)), record.dataset_id
    tx.execute("UPDATE datasets SET metadata = ?, paused = ?, blocked = NULL WHERE dataset_id = ?", values)


def _paused(record: DatasetRecord, metadata: DatasetMetadata) -> bool:
    """Whether new metadata leave a pause: they decide if they set one, and end one that they no longer set."""
    paused, before = metadata.staging.paused, record.metadata.staging.paused
    if paused is None:
        return record.paused if before is None else False
    return paused


def _settle_declared(tx: sqlite3.Connection, record: DatasetRecord, metadata: DatasetMetadata) -> None:
    """Bring columns and layout in line with new metadata."""
    _check_sort_columns(record, metadata)
    if _schema_part(metadata) == _schema_part(record.metadata):
        return
    if record.schema is not None:
        extents = extents_of(tx, record)
        schema = _declared_schema(record, record.schema, metadata, extents)
        layout = _published_layout(record, metadata) if extents is None else _layout(record, schema, metadata)
        if (schema, *layout) != (record.schema, record.time_column, record.granularity):
            write(tx, record, schema, *layout)
    tx.execute("UPDATE datasets SET schema_version = schema_version + 1 WHERE dataset_id = ?", (record.dataset_id,))
    mark_declared(tx, record.name)


def _check_sort_columns(record: DatasetRecord, metadata: DatasetMetadata) -> None:
    """Only new declarations count. Before the first batch, and for a declared column, the column is still to come."""
    sort_by = metadata.staging.flush.sort_by
    if record.schema is None or sort_by is None or sort_by == record.metadata.staging.flush.sort_by:
        return
    if unknown := [name for name in sort_by if name not in {*record.schema.names, *metadata.schema_.columns}]:
        raise InvalidMetadata(
            f"staging.flush.sortBy names {unknown[0]!r}, which dataset {record.name!r} does not have",
            dataset=record.name,
            hint=f"its columns are: {', '.join(record.schema.names)}; declare one that is still to come",
        )


def _schema_part(metadata: DatasetMetadata) -> tuple[object, ...]:
    return metadata.schema_, metadata.time_column, metadata.partition


def _declared_schema(
    record: DatasetRecord, schema: pa.Schema, metadata: DatasetMetadata, extents: Extents | None
) -> pa.Schema:
    """Only new declarations count: a flush may have learnt another type than was declared before."""
    before = record.metadata.schema_.columns
    types = {field.name: field.type for field in schema}
    for name, declared in metadata.schema_.declared.items():
        _check_spelling(record.name, name, schema)
        if name in types and metadata.schema_.columns[name] != before.get(name):
            types[name] = _applied(types[name], declared.type)
            _check_change(record.name, schema.field(name), types[name], extents)
    return pa.schema(list(types.items()))


def _check_spelling(dataset: str, name: str, schema: pa.Schema) -> None:
    for known in schema.names:
        if known != name and known.casefold() == name.casefold():
            raise InvalidMetadata(
                f"schema.columns names {name!r}, but dataset {dataset!r} has that column as {known!r}",
                dataset=dataset,
                hint=f"declare {known!r}",
            )


def _applied(known: pa.DataType, declared: pa.DataType) -> pa.DataType:
    """The new type of a known column: objects keep the fields that are not declared."""
    t = pa.types
    if t.is_struct(known) and t.is_struct(declared):
        new = {field.name: field.type for field in declared}
        kept = [pa.field(f.name, _applied(f.type, new.pop(f.name)) if f.name in new else f.type) for f in known]
        return pa.struct([*kept, *(pa.field(name, type_) for name, type_ in new.items())])
    if t.is_list(known) and t.is_list(declared):
        return pa.list_(_applied(known.value_type, declared.value_type))
    if t.is_map(known) and t.is_map(declared):
        return pa.map_(_applied(known.key_type, declared.key_type), _applied(known.item_type, declared.item_type))
    return declared


def _check_change(dataset: str, known: pa.Field, wanted: pa.DataType, extents: Extents | None) -> None:
    if wanted.equals(known.type):
        return
    hint = publish_first(dataset) if extents is not None else f"`{retype(dataset, known.name, type_text(wanted))}`"
    before, after = pa.schema([known]), pa.schema([known.with_type(wanted)])
    try:
        check_extents(before, after, extents, hint, where="in the declaration")
    except SchemaConflict as conflict:
        conflict.dataset = dataset
        raise


def _layout(record: DatasetRecord, schema: pa.Schema, metadata: DatasetMetadata) -> _Layout:
    """Open again where a column is named that no batch has had yet, or where none is left that tells a time."""
    column = metadata.time_column or record.time_column
    if column is None or column not in schema.names:
        return None, None
    if tells_time(schema.field(column).type):
        return column, metadata.partition.granularity
    if metadata.time_column is None:
        return None, None
    raise InvalidMetadata(
        f"time column {column!r} of dataset {record.name!r} is of type {schema.field(column).type}, not a timestamp or"
        " date",
        dataset=record.name,
        hint=f"columns are: {', '.join(schema.names)}",
    )


def _published_layout(record: DatasetRecord, metadata: DatasetMetadata) -> _Layout:
    kept = record.time_column, record.granularity
    if record.granularity is None:
        return kept
    wanted_column = metadata.time_column or record.time_column
    wanted_granularity = Granularity.NONE if record.time_column is None else metadata.partition.granularity
    if (wanted_column, wanted_granularity) != kept:
        raise InvalidMetadata(
            f"dataset {record.name!r} is laid out by {record.time_column!r} per {record.granularity}; "
            f"the metadata asks for {wanted_column!r} per {wanted_granularity}",
            dataset=record.name,
            hint="time column and granularity are fixed once a flush has begun; stage under a new name to change them",
        )
    return kept

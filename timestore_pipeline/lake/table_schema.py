"""Which schemas a Delta table can hold, which changes it takes, and which types of its columns were changed.

Changes are new nullable columns and fields of structs. Readers find a field by its name and read null where a file
lacks it. Inside maps DataFusion (deltalake 1.6) fails to: it could no longer open the table, so a struct inside a map
cannot grow.

Type changes are recorded in transaction identifiers, which outlive the commits: how many, and with which leeway values
were cast. So every shard casts rows staged in the old type as the published rows were cast, and a flush that was
exported before the change cannot be published after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import ArrayType, StructType
from pyarrow import fs

from timestore_pipeline.errors import InvalidData, RetryLater, SchemaConflict
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.model.canonical import canonical_type, stored_type
from timestore_pipeline.model.lake import RETYPED_APP_ID, ExportedFile, retyped_app_id
from timestore_pipeline.model.recast import LEEWAYS, Leeway

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


def delta_schema(schema: pa.Schema, partitioning: Partitioning) -> pa.Schema:
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
    fields = [pa.field(field.name, _stored(stored_type(field.type), field.name)) for field in schema]
    return pa.schema(fields if partition is None else [*fields, partition])


def missing_columns(existing: Schema, wanted: pa.Schema) -> list[Field]:
    """Columns to add to the table: new ones, and existing ones whose structs gain fields.

    Raise `SchemaConflict` for a column that the table has with another type, `InvalidData` for one nested too deeply.
    """
    known = {field.name.casefold(): field for field in existing.fields}
    missing = []
    for field in Schema.from_arrow(wanted).fields:
        present = known.get(field.name.casefold())
        grown = field if present is None else _grown(present, field)
        if grown is None:
            raise _conflict(present or field, field)
        if present is None or grown.type != present.type:
            canonical_type(wanted.field(field.name).type, field.name)  # raises if nested too deeply for any reader
            missing.append(grown)
    return missing


def as_published(existing: Schema, rows: pa.Schema) -> pa.Schema:
    """The canonical schema `rows`, with the table's spelling and type of every column and field that the table has.

    A time of day or a duration keeps its type where the table has the integers it is stored as. Raise `InvalidData`
    when such a column has a type that no dataset can have.
    """
    known = {field.name.casefold(): field for field in pa.schema(existing.to_arrow())}
    present = (_in_spelling_of(known.get(field.name.casefold(), field), field) for field in rows)
    return pa.schema([pa.field(field.name, canonical_type(field.type, field.name)) for field in present])


def is_part(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a file's type is the table's, or lacks only fields which the table's structs gained later."""
    if pa.types.is_struct(found) and pa.types.is_struct(wanted):
        known = {field.name: field.type for field in wanted}
        return all(field.name in known and is_part(field.type, known[field.name]) for field in found)
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return is_part(found.value_type, wanted.value_type)
    if pa.types.is_map(found) and pa.types.is_map(wanted):
        parts = ((found.key_type, wanted.key_type), (found.item_type, wanted.item_type))
        return all(is_part(*part) for part in parts)
    if pa.types.is_timestamp(found) and pa.types.is_timestamp(wanted):  # UTC has several names
        return bool(found.unit == wanted.unit and (found.tz is None) == (wanted.tz is None))
    return bool(found == wanted)


def check_partitioning(existing: list[str], partitioning: Partitioning) -> None:
    """Raise `SchemaConflict` when the table is partitioned by another column: Delta cannot change that."""
    wanted = [partitioning.column] if partitioning.column else []
    if existing != wanted:
        raise SchemaConflict(
            f"the table is partitioned by {existing or 'nothing'}, not by {wanted or 'nothing'}",
            column=partitioning.column or existing[0],
            existing=str(existing),
            incoming=str(wanted),
            hint="send rows with the time column that the table is partitioned by, or move that table out of the lake",
        )


def _grown(present: Field, wanted: Field) -> Field | None:
    """The table's field with the missing struct fields added; None = another type, or another spelling."""
    grown = _grown_type(present.type, wanted.type)
    if grown is None or present.name != wanted.name:
        return None
    return Field(present.name, grown, nullable=present.nullable, metadata=present.metadata)


def _grown_type(present: Any, wanted: Any) -> Any | None:
    if present == wanted:
        return present
    if isinstance(present, StructType) and isinstance(wanted, StructType):
        return _grown_struct(present, wanted)
    if isinstance(present, ArrayType) and isinstance(wanted, ArrayType):
        element = _grown_type(present.element_type, wanted.element_type)
        nullable = present.contains_null and wanted.contains_null
        return ArrayType(element, contains_null=True) if element is not None and nullable else None
    return None


def _grown_struct(present: StructType, wanted: StructType) -> StructType | None:
    """Existing fields keep their place and must be nullable; new ones come last."""
    new = {field.name.casefold(): field for field in wanted.fields}
    kept = [_grown(field, new.pop(field.name.casefold(), field)) for field in present.fields]
    fields = [field for field in kept if field is not None and field.nullable]
    return StructType([*fields, *new.values()]) if len(fields) == len(kept) else None


def _in_spelling_of(table: pa.Field, rows: pa.Field) -> pa.Field:
    return pa.field(table.name, _joined(table.type, rows.type))


def _joined(table: pa.DataType, rows: pa.DataType) -> pa.DataType:
    """The table's type, plus the fields that only the rows' structs have."""
    if pa.types.is_list(table) and pa.types.is_list(rows):
        return pa.list_(_joined(table.value_type, rows.value_type))
    if not (pa.types.is_struct(table) and pa.types.is_struct(rows)):
        return rows if stored_type(rows).equals(table) else table
    ours = {field.name.casefold(): field for field in rows}
    known = [_in_spelling_of(field, ours.pop(field.name.casefold(), field)) for field in table]
    return pa.struct([*known, *ours.values()])


def _conflict(present: Field, incoming: Field) -> SchemaConflict:
    return SchemaConflict(
        f"column {incoming.name!r} is {_spelt(incoming)}, but the lake has {present.name!r} as {_spelt(present)}",
        column=incoming.name,
        existing=_spelt(present),
        incoming=_spelt(incoming),
        hint="find out which tool made this table. If it is not a dataset of this system, move it out of the lake, or"
        " publish elsewhere (TIMESTORE_LAKE_URI); staged rows stay staged",
    )


def _spelt(field: Field) -> str:
    return str(getattr(field.type, "type", field.type))


def _stored(kind: pa.DataType, path: str) -> pa.DataType:
    """The Arrow type in which Delta stores `kind`; raise `InvalidData` naming `path`."""
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


def times_retyped(table: DeltaTable) -> int:
    """How often a column of the table changed its type."""
    return int(table.transaction_version(RETYPED_APP_ID) or 0)


def leeway_of(table: DeltaTable, column: str) -> Leeway | None:
    """The leeway of a column's last change of type; None = its type never changed."""
    when = {name: int(table.transaction_version(retyped_app_id(column, name)) or 0) for name in LEEWAYS}
    last = max(when, key=lambda name: when[name])
    return LEEWAYS[last] if when[last] else None


def check_types(table: DeltaTable, root: fs.FileSystem, files: Sequence[ExportedFile]) -> None:
    """Raise `RetryLater` when files were exported before one of their columns changed its type.

    All files of a flush have the same columns, so the first is enough.
    """
    if not files or not times_retyped(table):
        return
    published = {field.name: field.type for field in pa.schema(table.schema().to_arrow())}
    with root.open_input_file(files[0].path) as stream:
        exported = pq.read_schema(stream)
    for field in exported:
        wanted = published.get(field.name)
        if wanted is not None and not is_part(*(canonical_type(kind, field.name) for kind in (field.type, wanted))):
            raise RetryLater(
                f"column {field.name!r} has become {wanted} since the flush exported it as {field.type}",
                hint="the next flush casts the staged rows",
            )

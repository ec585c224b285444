"""How a dataset's columns and layout change: with the promise of the batch that needs it, or before a flush decides.

A change is made in the transaction that promises its batch, so a batch that is refused, or known already, leaves none.
As long as the dataset's `extents` are not NULL, it has no table, and they say how far the numbers of every
staged batch reach: columns may take wider types. A flush removes it before it touches the table, for good.

Segments are never altered. Once a column has another type, or an object more fields, than an older segment holds,
exports and queries look at the types of each segment. Processes that stage keep types in memory, and read them again
after a change. So the changes are counted, in columns of `datasets`:

`times_retyped`: a column took another type, so that values of the old one may not fit.
`times_grown`: an object got fields, or a type that waited was settled: everything staged fits.
`times_declared`: an operator declared something new about the schema.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from timestore_pipeline.errors import SchemaConflict
from timestore_pipeline.model.batch import Extent, Extents
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord, record_of

if TYPE_CHECKING:  # imported with the first change: a backlog is read without
    import pyarrow as pa


class SchemaMoved(Exception):
    """The dataset is no longer as the batch was fitted to it: fit it again. Nothing was written."""


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """Columns and layout that a batch needs."""

    schema_version: int  # of the record that it changes
    before: pa.Schema | None
    schema: pa.Schema
    time_column: str | None
    granularity: Granularity | None  # None = the layout stays open


@dataclass(frozen=True, slots=True)
class Basis:
    """The record that a group of batches was fitted to, and the changes that come with their acknowledgement."""

    dataset: str
    times_changed: int  # as `Standing` says
    change: SchemaChange | None = None
    extents: Extents = field(default_factory=dict)  # of the group, as far as they are not known to be noted


@dataclass(frozen=True, slots=True)
class Standing:
    """A dataset in one snapshot, as staging needs it."""

    record: DatasetRecord
    times_changed: int  # grows whenever what was fitted to the record may not fit any more
    extents: Extents | None  # None = something is published, or on its way: no column takes a wider type


class SchemaChanges:
    """Reads and writes over `datasets` and `flushes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self, name: str) -> Standing | None:
        """None = there is no such dataset."""
        with self._database.snapshot() as tx:
            row = tx.execute("SELECT * FROM datasets WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            record = record_of(row)
            return Standing(record, times_changed(tx, name), extents_of(tx, record))

    def settled_as_text(self, name: str) -> list[str]:
        """Paths of values that were all empty when they were first published."""
        with self._database.snapshot() as tx:
            return _read(tx, name, "settled") or []

    def is_fixed(self, name: str) -> bool:
        """Whether no column will ever take a wider type again; extents need not be noted then."""
        with self._database.snapshot() as tx:
            row = tx.execute("SELECT schema FROM datasets WHERE name = ?", (name,)).fetchone()
            return row is not None and row["schema"] is not None and _noted(tx, name) is None

    def settle_for_table(self, name: str) -> tuple[DatasetRecord, DatasetRecord]:
        """The record before, and as the dataset's table is to have it.

        What still waits becomes text, and a layout that is still open becomes none. From here on both hold.
        """
        from timestore_pipeline.model.canonical import schema_settled_as_text, waiting_leaves

        with self._database.transaction() as tx:
            before = record_of(tx.execute("SELECT * FROM datasets WHERE name = ?", (name,)).fetchone())
            assert before.schema is not None, "a claimed dataset has a schema"
            fix_types(tx, name)
            if before.granularity is not None and not waiting_leaves(before.schema):
                return before, before
            if waiting := waiting_leaves(before.schema):
                known = _read(tx, name, "settled") or []
                _put(tx, name, "settled", [*known, *(path for path in waiting if path not in known)])
            layout = before.time_column, before.granularity or Granularity.NONE
            write(tx, before, schema_settled_as_text(before.schema), *layout)
            return before, record_of(tx.execute("SELECT * FROM datasets WHERE name = ?", (name,)).fetchone())


def admit(tx: sqlite3.Connection, basis: Basis) -> None:
    """Make the change that comes with a promise; raises `SchemaMoved`, and then the transaction is to be given up."""
    if times_changed(tx, basis.dataset) != basis.times_changed:
        raise SchemaMoved
    if basis.change is not None:
        apply(tx, basis.dataset, basis.change)
    if basis.extents:
        _note(tx, basis.dataset, basis.extents)


def apply(tx: sqlite3.Connection, dataset: str, change: SchemaChange) -> None:
    """Raises `SchemaMoved` when the record has changed meanwhile, or when staged values no longer allow the change."""
    from timestore_pipeline.model.widening import check_extents

    record = record_of(tx.execute("SELECT * FROM datasets WHERE name = ?", (dataset,)).fetchone())
    if record.schema_version != change.schema_version:
        raise SchemaMoved
    if record.schema is not None:
        try:
            check_extents(record.schema, change.schema, extents_of(tx, record), "")
        except SchemaConflict:
            raise SchemaMoved from None
    write(tx, record, change.schema, change.time_column, change.granularity)


def fix_types(tx: sqlite3.Connection, dataset: str) -> None:
    """From now on no column of the dataset takes a wider type by itself."""
    tx.execute("UPDATE datasets SET extents = NULL WHERE name = ?", (dataset,))


def extents_of(tx: sqlite3.Connection, record: DatasetRecord) -> Extents | None:
    """How far all staged numbers of the dataset reach; None = its columns keep their types."""
    claimed = tx.execute(
        "SELECT 1 FROM flushes WHERE dataset_id = ? AND state IN ('claimed', 'exported', 'published')"
        " UNION ALL SELECT 1 FROM flush_stretches WHERE dataset_id = ? AND batches > 0 LIMIT 1",
        (record.dataset_id, record.dataset_id),
    ).fetchone()
    return None if claimed else _noted(tx, record.name)


def _noted(tx: sqlite3.Connection, dataset: str) -> Extents | None:
    noted = _read(tx, dataset, "extents")
    return None if noted is None else {path: Extent(**extent) for path, extent in noted.items()}


def _note(tx: sqlite3.Connection, dataset: str, extents: Extents) -> None:
    """Unless there is a table, or those of earlier batches are not known: what is missing must not seem small."""
    known = _noted(tx, dataset)
    if known is not None:
        grown = {path: known.get(path, Extent()) | extent for path, extent in extents.items()}
        _put(tx, dataset, "extents", {path: asdict(extent) for path, extent in {**known, **grown}.items()})


def _read(tx: sqlite3.Connection, dataset: str, column: str) -> Any:
    row = tx.execute(f"SELECT {column} AS document FROM datasets WHERE name = ?", (dataset,)).fetchone()
    return None if row is None or row["document"] is None else json.loads(row["document"])


def _put(tx: sqlite3.Connection, dataset: str, column: str, document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False)
    tx.execute(f"UPDATE datasets SET {column} = ? WHERE name = ?", (text, dataset))


def write(
    tx: sqlite3.Connection,
    record: DatasetRecord,
    schema: pa.Schema,
    time_column: str | None,
    granularity: Granularity | None,
) -> None:
    """Set columns and layout, and count the change of types for existing segments."""
    from timestore_pipeline.model.schema_json import schema_to_json
    from timestore_pipeline.model.widening import changed_leaves

    if record.schema is None:
        if record.last_epoch == 0:
            _put(tx, record.name, "extents", {})
    elif changed_leaves(record.schema, schema):
        mark_retyped(tx, record.name)
    elif any(schema.field(column.name).type != column.type for column in record.schema):
        mark_grown(tx, record.name)
    tx.execute(
        "UPDATE datasets SET schema = ?, schema_version = schema_version + 1, time_column = ?, granularity = ?"
        " WHERE dataset_id = ?",
        (schema_to_json(schema), time_column, granularity, record.dataset_id),
    )


_TIMES_CHANGED = "types_changed"  # in `meta`: of all datasets together, because it is read for every batch


def mark_retyped(tx: sqlite3.Connection, dataset: str) -> None:
    _count(tx, dataset, "times_retyped")
    _count_of_all(tx)


def mark_grown(tx: sqlite3.Connection, dataset: str) -> None:
    _count(tx, dataset, "times_grown")


def mark_declared(tx: sqlite3.Connection, dataset: str) -> None:
    _count(tx, dataset, "times_declared")
    _count_of_all(tx)


def segments_differ(tx: sqlite3.Connection, dataset: str) -> bool:
    """Whether segments may hold a column in another type than the dataset's record says."""
    return _times(tx, "times_retyped + times_grown", dataset) > 0


def times_changed(tx: sqlite3.Connection, dataset: str | None = None) -> int:
    """How often types kept in memory became wrong; of one dataset, or of all together."""
    if dataset is not None:
        return _times(tx, "times_retyped + times_declared", dataset)
    row = tx.execute("SELECT CAST(value AS INTEGER) AS times FROM meta WHERE key = ?", (_TIMES_CHANGED,)).fetchone()
    return 0 if row is None else int(row["times"])


def _count(tx: sqlite3.Connection, dataset: str, column: str) -> None:
    tx.execute(f"UPDATE datasets SET {column} = {column} + 1 WHERE name = ?", (dataset,))


def _count_of_all(tx: sqlite3.Connection) -> None:
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, '1') ON CONFLICT (key) DO UPDATE SET value = value + 1",
        (_TIMES_CHANGED,),
    )


def _times(tx: sqlite3.Connection, sum_of: str, dataset: str) -> int:
    row = tx.execute(f"SELECT {sum_of} AS times FROM datasets WHERE name = ?", (dataset,)).fetchone()
    return 0 if row is None else int(row["times"])

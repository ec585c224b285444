"""Datasets in the ledger: metadata, schema, layout, pause and manual flush requests."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from timestore_pipeline.errors import DatasetInUse, InvalidMetadata, UnknownDataset
from timestore_pipeline.model.dataset import DatasetMetadata, check_dataset_name
from timestore_pipeline.staging.ledger.database import Database, Row
from timestore_pipeline.staging.ledger.dataset_record import (
    NO_METADATA,
    DatasetRecord,
    metadata_of,
    readable_metadata,
    record_of,
)
from timestore_pipeline.staging.ledger.schema_changes import mark_retyped, segments_differ, times_changed
from timestore_pipeline.system import clock

WAITS = (  # batches that nothing but a flush is missing
    "SELECT 1 FROM batches WHERE batches.dataset_id = :id AND batches.state = 'pending' AND (record_offset IS NOT NULL"
    " OR segment_id IN (SELECT segment_id FROM segments WHERE dataset_id = :id AND state = 'sealed'))"
)


class Datasets:
    """The `datasets` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> DatasetRecord:
        """Raise `UnknownDataset` when nothing was ever staged or declared for it."""
        return record_of(self._row(name))

    def metadata(self, name: str) -> DatasetMetadata:
        """Without its columns, for which pyarrow would be imported; raise as `get` does."""
        return metadata_of(self._row(name))

    def id_of(self, name: str) -> int:
        """0 = there is no such dataset."""
        row = self._database.row("SELECT dataset_id FROM datasets WHERE name = ?", (name,))
        return int(row["dataset_id"]) if row else 0

    def find(self, name: str) -> DatasetRecord | None:
        row = self._database.row("SELECT * FROM datasets WHERE name = ?", (name,))
        return None if row is None else record_of(row)

    def all(self) -> list[DatasetRecord]:
        return [record_of(row) for row in self._database.rows("SELECT * FROM datasets ORDER BY name")]

    def names(self, *, active: bool = False) -> list[str]:
        """In order; also of records that cannot be read. active: but the removed ones."""
        condition = "WHERE removed_at IS NULL" if active else ""
        return [row["name"] for row in self._database.rows(f"SELECT name FROM datasets {condition} ORDER BY name")]

    def active(self) -> list[DatasetRecord]:
        """All but the removed ones."""
        return [record for record in self.all() if record.removed_at is None]

    def all_metadata(self) -> dict[str, DatasetMetadata]:
        """Name -> metadata. Reading a thousand schemas as well would take longer than everything else in a scrape.

        The defaults for one that cannot be read: it must not hide the others.
        """
        rows = self._database.rows("SELECT name, metadata FROM datasets")
        return {row["name"]: NO_METADATA if row["metadata"] == "{}" else readable_metadata(row) for row in rows}

    def columns(self, names: Collection[str]) -> dict[str, list[str]]:
        """Name -> its columns, of the datasets that have a batch; pyarrow would be imported for their types."""
        wanted = (
            "SELECT name, schema FROM datasets WHERE schema IS NOT NULL AND name IN (SELECT value FROM json_each(?))"
        )
        rows = self._database.rows(wanted, (json.dumps(list(names)),))
        return {row["name"]: [column["name"] for column in json.loads(row["schema"])["columns"]] for row in rows}

    def created(self) -> dict[str, datetime]:
        """Name -> when the ledger first got it."""
        rows = self._database.rows("SELECT name, created_at FROM datasets")
        return {row["name"]: clock.from_micros(row["created_at"]) for row in rows}

    def ensure(self, name: str) -> DatasetRecord:
        """The dataset's record, made if it is new; raise `InvalidDatasetName`."""
        check_dataset_name(name)
        found = self.find(name)
        if found is not None and found.removed_at is None:
            return found
        with self._database.transaction() as tx:
            bring_back(tx, ensured_id(tx, name))
        return self.get(name)

    def remove(self, name: str) -> None:
        """Hide a dataset that is not used any more from backlogs, metrics and lists, until something arrives for it.

        Its row stays, and so do its epochs, its idempotency keys and its counters: a dataset that comes back goes on
        where it was. Raises `UnknownDataset`, and `DatasetInUse` when anything of it is not published or discarded.
        """
        with self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, name)
            _refuse_unsettled(tx, dataset_id, name)
            tx.execute(
                "UPDATE datasets SET removed_at = ?, manual_requested_at = NULL, manual_requested_epoch = NULL"
                " WHERE dataset_id = ?",
                (clock.to_micros(clock.now()), dataset_id),
            )

    def set_metadata(self, name: str, metadata: DatasetMetadata) -> DatasetRecord:
        """Replace the metadata; raise `InvalidMetadata` or `SchemaConflict` when they contradict what is published."""
        from timestore_pipeline.staging.ledger.declaring import replace_metadata

        with suppress(InvalidMetadata):  # of those that are replaced
            self.ensure(name)
        with self._database.transaction() as tx:
            current = current_record(tx, name, replacing=True)
            replace_metadata(tx, current, metadata)  # in here: a first batch may come at any moment
        return self.get(name)

    def learn(self, record: DatasetRecord, learnt: DatasetRecord) -> bool:
        """Set columns and layout as they are published; False = the record has changed meanwhile.

        What was declared of a column's type follows, lest the metadata ask for what cannot be.
        Segments that were written before keep their types, see `segments_differ`.
        """
        from timestore_pipeline.model.metadata_edit import with_published_types
        from timestore_pipeline.model.schema_json import schema_to_json

        assert learnt.schema is not None, "something is published"
        with self._database.transaction() as tx:
            current = current_record(tx, record.name)
            if current.schema_version != record.schema_version:
                return False
            columns = schema_to_json(learnt.schema), learnt.time_column, learnt.granularity
            metadata = with_published_types(current.metadata, learnt.schema).to_json()
            tx.execute(
                "UPDATE datasets SET schema = ?, schema_version = schema_version + 1,"
                " time_column = ?, granularity = ?, metadata = ? WHERE dataset_id = ?",
                (*columns, metadata, record.dataset_id),
            )
            mark_retyped(tx, record.name)
            return True

    def segments_differ(self, name: str) -> bool:
        """Whether segments may hold a column in another type than the record says."""
        with self._database.snapshot() as tx:
            return segments_differ(tx, name)

    def times_changed(self) -> int:
        """A number that grows whenever what is remembered of any dataset's types becomes wrong."""
        with self._database.snapshot() as tx:
            return times_changed(tx)

    def set_paused(self, name: str, paused: bool) -> None:
        """Overrides the metadata, so that one command ends a pause, however it began."""
        self._update(name, "metadata = json_remove(metadata, '$.staging.paused'), paused = ?", int(paused))

    def request_flush(self, name: str) -> None:
        """Ask for a manual flush; the sensor's next tick picks it up, whatever failed before.

        The request stands until a flush with a later epoch is published: instants do not tell what came later once
        the clock was set.
        """
        assignment = "retry_at = NULL, blocked = NULL, manual_requested_epoch = last_epoch, manual_requested_at = ?"
        self._update(name, assignment, clock.to_micros(clock.now()))

    def _update(self, name: str, assignment: str, value: int) -> None:
        self.get(name)
        with self._database.transaction() as tx:
            tx.execute(f"UPDATE datasets SET {assignment} WHERE name = ?", (value, name))

    def _row(self, name: str) -> Row:
        row = self._database.row("SELECT * FROM datasets WHERE name = ?", (name,))
        if row is None:
            known = ", ".join(self.names()) or "none yet"
            raise UnknownDataset(f"there is no dataset {name!r}", dataset=name, hint=f"known datasets: {known}")
        return row


def dataset_id_of(tx: sqlite3.Connection, name: str) -> int:
    """The id inside a transaction; raise `UnknownDataset`."""
    row = tx.execute("SELECT dataset_id FROM datasets WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise UnknownDataset(f"there is no dataset {name!r}", dataset=name, hint="see `timestore datasets list`")
    return int(row["dataset_id"])


def ensured_id(tx: sqlite3.Connection, name: str) -> int:
    """The dataset's id; a new dataset is made, without columns."""
    created = clock.to_micros(clock.now())
    tx.execute("INSERT OR IGNORE INTO datasets (name, created_at) VALUES (?, ?)", (name, created))
    return dataset_id_of(tx, name)


def bring_back(tx: sqlite3.Connection, dataset_id: int) -> None:
    """Something arrives for the dataset: it is in use again, if it was removed."""
    tx.execute("UPDATE datasets SET removed_at = NULL WHERE dataset_id = ? AND removed_at IS NOT NULL", (dataset_id,))


def _refuse_unsettled(tx: sqlite3.Connection, dataset_id: int, name: str) -> None:
    rows = tx.execute(
        "SELECT state, rows FROM volumes WHERE dataset_id = ? AND batches > 0"
        " AND state IN ('pending', 'in_flight', 'quarantined')",
        (dataset_id,),
    ).fetchall()
    if rows:
        left = ", ".join(f"{row['rows']} rows {row['state'].replace('_', ' ')}" for row in rows)
        raise DatasetInUse(
            f"dataset {name!r} still has {left}",
            dataset=name,
            hint=f"stop its producers, `timestore drain {name}`, and decide about its quarantined batches",
        )


def current_record(tx: sqlite3.Connection, name: str, *, replacing: bool = False) -> DatasetRecord:
    """replacing: its metadata, which need not be readable."""
    row = tx.execute("SELECT * FROM datasets WHERE name = ?", (name,)).fetchone()
    return record_of(row, readable_metadata(row) if replacing else None)


def prolong_request(tx: sqlite3.Connection, dataset_id: int, epoch: int) -> None:
    """The claim of this epoch has left batches: a manual request is not fulfilled before a later one."""
    tx.execute(
        "UPDATE datasets SET manual_requested_epoch = :epoch"
        f" WHERE dataset_id = :id AND manual_requested_at IS NOT NULL AND EXISTS ({WAITS})",
        {"id": dataset_id, "epoch": epoch},
    )

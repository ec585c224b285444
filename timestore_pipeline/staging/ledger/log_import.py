"""Brings the ledger up to date with the Delta log, and with the datasets of segments. No entry is removed.

Each call is one transaction that may be repeated. What is published is entered before a segment is adopted (see
`segment_import`), so that no claim ever finds a published batch pending.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from timestore_pipeline.errors import SchemaConflict
from timestore_pipeline.model.batch import BatchState, Volume
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.model.lake import ExportedFile
from timestore_pipeline.staging.ledger import exports, volumes
from timestore_pipeline.staging.ledger.database import Database, marks
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.staging.ledger.flush_stretches import is_folded
from timestore_pipeline.staging.ledger.schema_changes import fix_types, mark_retyped
from timestore_pipeline.system import clock

if TYPE_CHECKING:
    import pyarrow as pa

FROM_THE_LOG = ""  # owner of a flush that was entered from the Delta log: which batch went to which file is not known

_MOST_PARAMETERS = 500

_UNCLAIMED = """
UPDATE batches SET state = 'pending', epoch = NULL WHERE state = 'in_flight' AND NOT EXISTS (
    SELECT 1 FROM flushes WHERE flushes.dataset_id = batches.dataset_id AND flushes.epoch = batches.epoch
    AND flushes.state IN ('claimed', 'exported'))
"""
_CLAIMED_AS_HELD = """
UPDATE flushes SET (batches, rows, bytes) = (
    SELECT count(*), coalesce(sum(rows), 0), coalesce(sum(bytes), 0) FROM batches
    WHERE batches.dataset_id = flushes.dataset_id AND batches.epoch = flushes.epoch AND batches.state = 'in_flight')
WHERE state IN ('claimed', 'exported')
"""  # a claim whose batches were lost and found again must not return more than it still holds


@dataclass(frozen=True, slots=True)
class PublishedFlush:
    """A flush as the Delta log describes it."""

    dataset: str
    epoch: int
    claim: str
    claimed_at: int  # microseconds since the Unix epoch
    run_id: str
    trigger: str
    volume: Volume
    version: int
    batch_ids: Sequence[str]
    files: Sequence[ExportedFile]


class LogImport:
    """Writes that belong to `recover` only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self, dataset: str, schema: pa.Schema, time_column: str | None, granularity: str | None) -> None:
        """Give the dataset columns it lacks, and its layout if it has none; granularity: None = still open.

        Of two types of a column it gets the one that holds both, else it keeps the first: a flush casts what fits. How
        far the numbers in the segment reach is not known, so from here on columns keep their types.
        """
        from timestore_pipeline.model.evolution import Rules, evolve
        from timestore_pipeline.model.schema_json import schema_from_json, schema_to_json

        with self._database.transaction() as tx:
            fix_types(tx, dataset)
            row = tx.execute("SELECT * FROM datasets WHERE name = ?", (dataset,)).fetchone()
            known = None if row["schema"] is None else schema_from_json(row["schema"])
            try:
                wanted = evolve(known, schema, Rules(widens=True))
            except SchemaConflict:
                wanted = _with_new_columns(known, schema)
            if _differ(wanted, schema) or (known is not None and _differ(wanted, known)):
                mark_retyped(tx, dataset)
            lacks_layout = row["granularity"] is None and granularity is not None
            if known is None or lacks_layout or not wanted.equals(known):
                tx.execute(
                    "UPDATE datasets SET schema = ?, schema_version = schema_version + 1,"
                    " granularity = coalesce(granularity, ?),"
                    " time_column = CASE WHEN granularity IS NULL THEN ? ELSE time_column END WHERE name = ?",
                    (schema_to_json(wanted), granularity, time_column, dataset),
                )

    def enter_published(self, flush: PublishedFlush, *, whole: bool = False) -> bool:
        """Make the ledger agree that this flush is published; False when it does, or when settling is to decide.

        whole: a flush of which the ledger has lost a part is entered anew, and nothing is left to settling.
        """
        with self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, flush.dataset)
            tx.execute(
                "UPDATE datasets SET last_epoch = max(last_epoch, ?) WHERE dataset_id = ?", (flush.epoch, dataset_id)
            )
            is_missing = _is_in_pieces if whole else _is_news
            if is_folded(tx, dataset_id, flush.epoch) or not is_missing(tx, dataset_id, flush):
                return False
            known = _move_to_published(tx, dataset_id, flush)
            _replace_flush(tx, dataset_id, flush)
            exports.forget(tx, dataset_id, flush.epoch)
            exports.record(tx, dataset_id, flush.epoch, flush.files, [])
            rest = flush.volume - known
            volumes.add(tx, dataset_id, BatchState.PUBLISHED, rest)
            volumes.add(tx, dataset_id, volumes.ACCEPTED, rest)
            return True

    def raise_epoch(self, dataset: str, epoch: int) -> None:
        """New claims continue above this epoch."""
        with self._database.transaction() as tx:
            tx.execute("UPDATE datasets SET last_epoch = max(last_epoch, ?) WHERE name = ?", (epoch, dataset))

    def recount(self) -> None:
        """Derive all running totals from batches and flushes; only for a ledger that was rebuilt from remains."""
        with self._database.transaction() as tx:
            tx.execute(_UNCLAIMED)
            tx.execute(_CLAIMED_AS_HELD)
            tx.execute("DELETE FROM volumes")
            tx.execute(
                "INSERT INTO volumes SELECT dataset_id, state, count(*), sum(rows), sum(bytes) FROM batches"
                " WHERE state != 'published' GROUP BY dataset_id, state"
            )
            tx.execute(
                "INSERT INTO volumes SELECT dataset_id, 'published', sum(batches), sum(rows), sum(bytes) FROM ("
                " SELECT dataset_id, batches, rows, bytes FROM flushes WHERE state = 'published'"
                " UNION ALL SELECT dataset_id, batches, rows, bytes FROM flush_stretches) GROUP BY dataset_id"
            )
            tx.execute(
                "INSERT INTO volumes SELECT dataset_id, 'accepted', sum(batches), sum(rows), sum(bytes) FROM volumes"
                " GROUP BY dataset_id"
            )


def _differ(wanted: pa.Schema, written: pa.Schema) -> bool:
    """Whether a column was written in another type than the wanted one."""
    types = {field.name.casefold(): field.type for field in wanted}
    return any(types[field.name.casefold()] != field.type for field in written)


def _with_new_columns(known: pa.Schema, schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    names = {name.casefold() for name in known.names}
    return pa.schema([*known, *(field for field in schema if field.name.casefold() not in names)])


def _is_news(tx: sqlite3.Connection, dataset_id: int, flush: PublishedFlush) -> bool:
    """A flush in flight is settled against the log like any other, unless the ledger is too old to know its export."""
    row = tx.execute(
        "SELECT state, run_id || '/' || claimed_at AS claim FROM flushes WHERE dataset_id = ? AND epoch = ?",
        (dataset_id, flush.epoch),
    ).fetchone()
    if row is None or row["state"] == FlushState.ABORTED:
        return True
    return bool(row["state"] == FlushState.CLAIMED and row["claim"] == flush.claim)


def _is_in_pieces(tx: sqlite3.Connection, dataset_id: int, flush: PublishedFlush) -> bool:
    """Whether anything of a published flush is missing: its own row, its files, or which batch went where."""
    row = tx.execute(
        "SELECT state, rows, (SELECT coalesce(sum(files.rows), 0) FROM files"
        "   WHERE files.dataset_id = flushes.dataset_id AND files.epoch = flushes.epoch) AS in_files,"
        " (SELECT coalesce(sum(traces.rows), 0) FROM (SELECT file_id, rows FROM batch_files"
        "   UNION ALL SELECT file_id, rows FROM run_files) AS traces JOIN files USING (file_id)"
        "   WHERE files.dataset_id = flushes.dataset_id AND files.epoch = flushes.epoch) AS traced"
        " FROM flushes WHERE dataset_id = ? AND epoch = ?",
        (dataset_id, flush.epoch),
    ).fetchone()
    whole = (FlushState.PUBLISHED, flush.volume.rows, flush.volume.rows, flush.volume.rows)
    return row is None or tuple(row) != whole


def _move_to_published(tx: sqlite3.Connection, dataset_id: int, flush: PublishedFlush) -> Volume:
    """Take the flush's batches out of whatever state they are in; returns how much of it the ledger had counted."""
    total = Volume()
    for some in _chunks(flush.batch_ids):
        chosen = f"batch_id IN ({marks(some)}) AND state != 'published'"
        for row in tx.execute(
            "SELECT state, count(*) AS batches, sum(rows) AS rows, sum(bytes) AS bytes FROM batches"
            f" WHERE {chosen} GROUP BY state",
            some,
        ).fetchall():
            moved = Volume(row["batches"], row["rows"], row["bytes"])
            volumes.move(tx, dataset_id, BatchState(row["state"]), BatchState.PUBLISHED, moved)
            total += moved
        tx.execute(
            f"UPDATE batches SET state = 'published', epoch = ?, published_at = ? WHERE {chosen}",
            (flush.epoch, clock.to_micros(clock.now()), *some),
        )
    return total


def _replace_flush(tx: sqlite3.Connection, dataset_id: int, flush: PublishedFlush) -> None:
    now = clock.to_micros(clock.now())
    tx.execute(
        "INSERT OR REPLACE INTO flushes (dataset_id, epoch, state, trigger, run_id, owner, batches, rows, bytes,"
        " oldest_staged_at, claimed_at, finished_at, version) VALUES (?, ?, 'published', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            dataset_id, flush.epoch, flush.trigger, flush.run_id, FROM_THE_LOG, flush.volume.batches,
            flush.volume.rows, flush.volume.bytes, flush.claimed_at, flush.claimed_at, now, flush.version,
        ),
    )  # fmt: skip


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _MOST_PARAMETERS):
        yield values[start : start + _MOST_PARAMETERS]

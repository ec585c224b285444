"""A dataset's batches that are staged and not known to be published, and their places, at one instant, for readers."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from timestore_pipeline.model.batch import BatchState, Volume
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord, record_of
from timestore_pipeline.staging.ledger.journals import OWED, RecordPlace, places_of


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """A batch and its place."""

    batch_id: str
    rows: int


@dataclass(frozen=True, slots=True)
class StagedSegment:
    """A segment and what is owed from it, pending and in flight."""

    segment_id: str
    batches: Mapping[int, HeldBatch]  # by sequence, in order


@dataclass(frozen=True, slots=True)
class StagedDataset:
    """One dataset at one instant."""

    record: DatasetRecord
    settled_epoch: int  # every epoch up to this one has ended, 0 = none; what a later one did the Delta log knows
    segments: Sequence[StagedSegment]  # oldest first
    records: Sequence[RecordPlace]  # in journals
    quarantined: Volume

    def by_file(self) -> dict[str, dict[int, str]]:
        """Id of a segment or journal -> sequence -> id of the batch whose rows lie there."""
        found = {
            segment.segment_id: {s: held.batch_id for s, held in segment.batches.items()} for segment in self.segments
        }
        for place in self.records:
            found.setdefault(place.journal_id, {}).update({batch.sequence: batch.batch_id for batch in place.batches})
        return found


class StagedFiles:
    """Reads over `datasets`, `batches`, `segments`, `flushes` and `volumes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def at_once(self, datasets: Sequence[str]) -> dict[str, StagedDataset]:
        """All of them in one snapshot; the ledger does not know those that are missing."""
        with self._database.snapshot() as tx:
            records = {
                name: tx.execute("SELECT * FROM datasets WHERE name = ?", (name,)).fetchone() for name in datasets
            }
            return {name: _dataset(tx, record_of(row)) for name, row in records.items() if row is not None}


def _dataset(tx: sqlite3.Connection, record: DatasetRecord) -> StagedDataset:
    return StagedDataset(
        record,
        _settled_epoch(tx, record),
        _segments(tx, record.dataset_id),
        places_of(tx.execute(OWED, (record.name,)).fetchall()),
        _quarantined(tx, record.dataset_id),
    )


def _settled_epoch(tx: sqlite3.Connection, record: DatasetRecord) -> int:
    oldest = tx.execute(
        "SELECT min(epoch) AS epoch FROM flushes WHERE dataset_id = ? AND state IN ('claimed', 'exported')",
        (record.dataset_id,),
    ).fetchone()["epoch"]
    return record.last_epoch if oldest is None else int(oldest) - 1


def _segments(tx: sqlite3.Connection, dataset_id: int) -> list[StagedSegment]:
    rows = tx.execute(
        "SELECT segment_id, sequence, batch_id, rows FROM batches WHERE dataset_id = ? AND record_offset IS NULL"
        " AND state IN ('pending', 'in_flight') ORDER BY segment_id, sequence",
        (dataset_id,),
    )
    batches: dict[str, dict[int, HeldBatch]] = {}
    for row in rows:
        batches.setdefault(row["segment_id"], {})[row["sequence"]] = HeldBatch(row["batch_id"], row["rows"])
    return [StagedSegment(segment_id, held) for segment_id, held in batches.items()]


def _quarantined(tx: sqlite3.Connection, dataset_id: int) -> Volume:
    row = tx.execute(
        "SELECT batches, rows, bytes FROM volumes WHERE dataset_id = ? AND state = ?",
        (dataset_id, BatchState.QUARANTINED),
    ).fetchone()
    return Volume() if row is None else Volume(row["batches"], row["rows"], row["bytes"])

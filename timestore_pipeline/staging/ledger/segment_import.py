"""Enters segment files into a ledger that lacks them or some of their batches.

Each call is one transaction that may be repeated. No batch is entered twice: its id and its idempotency key identify
it. A copy with a key the ledger knows from another batch was refused when it came, and never acknowledged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from timestore_pipeline.model.batch import BatchState, IncidentKind, IncidentReason, StagedBatch, Volume
from timestore_pipeline.staging.ledger import volumes
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.staging.ledger.incidents import open_incident
from timestore_pipeline.staging.ledger.published import is_published, published_under
from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class FoundSegment:
    """A segment as its file describes it."""

    dataset: str
    segment_id: str
    batches: Sequence[StagedBatch]
    published: Collection[str]  # ids of batches that are in the lake, these or others
    offset: int | None = None  # of a record, in a journal whose id is given as the segment's

    def ordered(self) -> list[StagedBatch]:
        """Published ones first: theirs is the idempotency key."""
        return sorted(self.batches, key=lambda batch: batch.batch_id not in self.published)


class SegmentImport:
    """Writes that belong to `recover` only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def quarantined(self, dataset: str) -> set[str]:
        """Ids of the dataset's quarantined segments."""
        rows = self._database.rows(
            "SELECT segment_id FROM segments JOIN datasets USING (dataset_id)"
            " WHERE name = ? AND segments.state = 'quarantined'",
            (dataset,),
        )
        return {row["segment_id"] for row in rows}

    def has_incident(self, segment_id: str) -> bool:
        """Whether this ledger has an incident of the segment."""
        return self._database.row(
            "SELECT 1 FROM incidents WHERE segment_id = ? AND kind = 'segment'", (segment_id,)
        ) is not None  # fmt: skip

    def segment(self, found: FoundSegment, has_file: Callable[[str], bool]) -> int | None:
        """Enter a segment and the batches that are not known yet; None when there was nothing new.

        Returns how many batches are owed from now on that were not before. has_file: whether another segment of
        the dataset has one. A batch that is owed from one that has none is owed from this one now: damaged files are
        replaced by copies.
        """
        with self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, found.dataset)
            new = _register(tx, dataset_id, found.segment_id, "sealed")
            moved = [_follow(tx, found, batch, has_file) for batch in found.batches]
            owed = _enter(tx, dataset_id, [found], BatchState.PENDING, None)
            return owed if new or owed or any(moved) else None

    def records(self, records: Sequence[FoundSegment], has_file: Callable[[str], bool]) -> int | None:
        """The same for records of a journal, which are all of one dataset."""
        with self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, records[0].dataset)
            moved = [_follow(tx, found, batch, has_file) for found in records for batch in found.batches]
            owed = _enter(tx, dataset_id, records, BatchState.PENDING, None)
            return owed if owed or any(moved) else None

    def aside(self, found: FoundSegment, error: str) -> int | None:
        """Enter a file from quarantine; returns the incident that was opened for it, if one was.

        Under an incident that is open only batches are added that it lacks; what an operator has decided stays
        decided. A segment that is listed and not set aside is owed the file: its batches are entered, and the next
        flush finds the file missing.
        """
        with self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, found.dataset)
            known = tx.execute("SELECT state FROM segments WHERE segment_id = ?", (found.segment_id,)).fetchone()
            last = _last_incident(tx, found.segment_id)
            if last is not None and last["resolution"] is not None:
                return None
            if last is None and known is not None and known["state"] != "quarantined":
                _enter(tx, dataset_id, [found], BatchState.PENDING, None)
                return None
            _register(tx, dataset_id, found.segment_id, "quarantined")
            incident = _open(tx, dataset_id, found.segment_id, error) if last is None else int(last["incident_id"])
            _enter(tx, dataset_id, [found], BatchState.QUARANTINED, incident)
            return incident if last is None else None


def _register(tx: sqlite3.Connection, dataset_id: int, segment_id: str, state: str) -> bool:
    """As one whose process is gone; False when it is known."""
    entered = tx.execute(
        "INSERT OR IGNORE INTO segments (segment_id, dataset_id, owner, state, created_at) VALUES (?, ?, '', ?, ?)",
        (segment_id, dataset_id, state, clock.to_micros(clock.now())),
    )
    return entered.rowcount == 1


def _last_incident(tx: sqlite3.Connection, segment_id: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = tx.execute(
        "SELECT incident_id, resolution FROM incidents WHERE segment_id = ? AND kind = 'segment'"
        " ORDER BY incident_id DESC LIMIT 1",
        (segment_id,),
    ).fetchone()
    return row


def _open(tx: sqlite3.Connection, dataset_id: int, segment_id: str, error: str) -> int:
    """A new incident, which also takes the batches that hang on none."""
    incident = open_incident(tx, dataset_id, IncidentKind.SEGMENT, segment_id, IncidentReason.DAMAGED, error)
    tx.execute(
        "UPDATE batches SET incident_id = ? WHERE segment_id = ? AND state = 'quarantined' AND incident_id IS NULL",
        (incident, segment_id),
    )
    return incident


def _follow(tx: sqlite3.Connection, found: FoundSegment, batch: StagedBatch, has_file: Callable[[str], bool]) -> bool:
    """Point a batch at the copy of it that still has a file."""
    row = tx.execute(
        "SELECT segment_id FROM batches WHERE batch_id = ? AND state IN ('pending', 'in_flight')", (batch.batch_id,)
    ).fetchone()
    if row is None or row["segment_id"] == found.segment_id or has_file(row["segment_id"]):
        return False
    tx.execute(
        "UPDATE batches SET segment_id = ?, sequence = ?, record_offset = ? WHERE batch_id = ?",
        (found.segment_id, batch.sequence, found.offset, batch.batch_id),
    )
    return True


def _enter(
    tx: sqlite3.Connection, dataset_id: int, places: Sequence[FoundSegment], state: BatchState, incident: int | None
) -> int:
    """Add the batches that are not known yet; returns how many are in this state now, the others are published."""
    total = Volume()
    for found in places:
        entered = [batch for batch in found.ordered() if _insert(tx, dataset_id, found, batch, state, incident)]
        owed = (batch for batch in entered if batch.batch_id not in found.published)
        total = sum((Volume(1, batch.rows, batch.bytes) for batch in owed), total)
    volumes.add(tx, dataset_id, state, total)
    volumes.add(tx, dataset_id, volumes.ACCEPTED, total)
    return total.batches


def _insert(
    tx: sqlite3.Connection,
    dataset_id: int,
    found: FoundSegment,
    batch: StagedBatch,
    state: BatchState,
    incident: int | None,
) -> bool:
    if is_published(tx, batch.batch_id) or _is_known_by_key(tx, dataset_id, batch):
        return False
    now = clock.to_micros(clock.now())
    published = batch.batch_id in found.published
    standing = (BatchState.PUBLISHED, now, None) if published else (state, None, incident)
    inserted = tx.execute(
        "INSERT OR IGNORE INTO batches (batch_id, dataset_id, segment_id, record_offset, sequence, rows, bytes,"
        " staged_at, idempotency_key, state, published_at, incident_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            batch.batch_id, dataset_id, found.segment_id, found.offset, batch.sequence, batch.rows, batch.bytes,
            clock.to_micros(batch.staged_at), batch.idempotency_key, *standing,
        ),
    )  # fmt: skip
    return inserted.rowcount == 1


def _is_known_by_key(tx: sqlite3.Connection, dataset_id: int, batch: StagedBatch) -> bool:
    key = batch.idempotency_key
    return key is not None and bool(published_under(tx, dataset_id, [key]))

"""Batches in the ledger: recording a group commit, refusing duplicates, reading the backlog."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from timestore_pipeline.model.batch import BatchState, StagedBatch, Volume
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.ledger import schema_changes, volumes
from timestore_pipeline.staging.ledger.database import Database, Row, instant_or_none, marks
from timestore_pipeline.staging.ledger.datasets import WAITS, bring_back, dataset_id_of, ensured_id
from timestore_pipeline.staging.ledger.published import published_under
from timestore_pipeline.staging.ledger.schema_changes import Basis, SchemaMoved
from timestore_pipeline.system import clock

_MOST_PARAMETERS = 500  # in one statement; SQLite's own limit depends on how it was built
_UNPUBLISHED = (BatchState.PENDING, BatchState.IN_FLIGHT, BatchState.QUARANTINED)
_EPOCHLESS = "batch_id, rows, bytes, staged_at, idempotency_key"


@dataclass(frozen=True, slots=True)
class Promise:
    """A dataset's batches whose rows are durable, and what they were fitted to."""

    dataset_id: int  # 0 = the one that `basis` names, which this promise may be the first of
    offset: int | None  # of their record in the journal; None = they lie in a segment
    batches: Sequence[StagedBatch]
    basis: Basis | None = None  # None = that cannot have changed


class Batches:
    """The `batches` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def promise(self, journal_id: str, records: Sequence[Promise]) -> list[Mapping[str, StagedBatch] | SchemaMoved]:
        """Promise the batches of one group commit; their rows must already be durable.

        Gives for each record, in order, the batches that another process staged first under the same idempotency key,
        by key: their rows in this record stay without a ledger row and are never published. Or `SchemaMoved`, and then
        nothing of that record is promised.
        """
        with self._database.quick_transaction() as tx:
            return [_promise(tx, journal_id, record) for record in records]

    def known_keys(self, dataset_id: int, keys: Sequence[str]) -> dict[str, StagedBatch]:
        """Batches already staged or published under these idempotency keys."""
        if not keys:
            return {}
        with self._database.snapshot() as tx:
            return _by_key(tx, dataset_id, keys)

    def in_segment(self, segment_id: str) -> int:
        """How many batches of a segment the ledger knows, in any state."""
        row = self._database.row("SELECT count(*) AS batches FROM batches WHERE segment_id = ?", (segment_id,))
        return int(row["batches"]) if row else 0

    def promised(self, segment_id: str) -> dict[int, int]:
        """Sequence -> rows of every batch acknowledged from a segment and not yet published."""
        rows = self._database.rows(
            "SELECT sequence, rows FROM batches WHERE segment_id = ? AND state IN ('pending', 'in_flight')",
            (segment_id,),
        )
        return {row["sequence"]: row["rows"] for row in rows}

    def owed(self, segment_id: str) -> list[StagedBatch]:
        """Every batch whose rows the segment still has to hold, quarantined ones included, in order."""
        rows = self._database.rows(
            f"SELECT {_EPOCHLESS}, sequence FROM batches WHERE segment_id = ?"
            " AND state IN ('pending', 'in_flight', 'quarantined') ORDER BY sequence",
            (segment_id,),
        )
        return [staged_batch(row) for row in rows]

    def of_flush(self, ref: FlushRef) -> dict[tuple[str, int], str]:
        """(segment id, sequence) -> batch id, oldest first: a salvaged batch no longer lies where its id says."""
        rows = self._database.rows(
            "SELECT segment_id, sequence, batch_id FROM batches JOIN datasets USING (dataset_id)"
            " WHERE name = ? AND batches.epoch = ? ORDER BY staged_at, segment_id, sequence",
            (ref.dataset, ref.epoch),
        )
        return {(row["segment_id"], row["sequence"]): row["batch_id"] for row in rows}

    def most_attempts(self, ref: FlushRef) -> int:
        """The most failed flushes of any batch of a claim."""
        row = self._database.row(
            "SELECT coalesce(max(attempts), 0) AS most FROM batches JOIN datasets USING (dataset_id)"
            " WHERE name = ? AND batches.epoch = ?",
            (ref.dataset, ref.epoch),
        )
        return int(row["most"]) if row else 0

    def rows_of_flush(self, ref: FlushRef) -> dict[str, int]:
        """Batch id -> rows promised, of the batches a flush holds or has published."""
        rows = self._database.rows(
            "SELECT batch_id, rows FROM batches JOIN datasets USING (dataset_id) WHERE name = ? AND batches.epoch = ?",
            (ref.dataset, ref.epoch),
        )
        return {row["batch_id"]: row["rows"] for row in rows}

    def waits(self, dataset: str, until: datetime, without: Collection[str] = ()) -> bool:
        """Whether anything staged by then waits for a flush and for nothing else: a claim takes a bounded number.

        without: ids of journals that cannot be read now.
        """
        with self._database.snapshot() as tx:
            found = tx.execute(
                f"{WAITS} AND staged_at <= :until AND segment_id NOT IN (SELECT value FROM json_each(:without))"
                " LIMIT 1",
                {
                    "id": dataset_id_of(tx, dataset),
                    "until": clock.to_micros(until),
                    "without": json.dumps(list(without)),
                },
            )
            return found.fetchone() is not None

    def complete_until(self, dataset: str, *, with_claim: bool = False) -> datetime:
        """Every batch that was acknowledged before this instant is published or was discarded; raises `UnknownDataset`.

        with_claim: or is in the dataset's claim, of which there is one at most. A batch in quarantine holds the instant
        back until an operator has decided about it.
        """
        now = clock.now()  # before looking: what is acknowledged by then is seen
        states = [state for state in _UNPUBLISHED if not (with_claim and state is BatchState.IN_FLIGHT)]
        with self._database.snapshot() as tx:
            dataset_id = dataset_id_of(tx, dataset)
            oldest = [_oldest_staged(tx, dataset_id, state) for state in states]
        return min([now, *filter(None, oldest)])

    def stranded(self, dataset: str) -> list[str]:
        """Segments with pending batches that no claim can find; none in a sound ledger."""
        rows = self._database.rows(
            "SELECT DISTINCT batches.segment_id FROM batches JOIN datasets USING (dataset_id)"
            " LEFT JOIN segments USING (segment_id) WHERE name = ? AND batches.state = 'pending'"
            " AND record_offset IS NULL AND coalesce(segments.state, '') != 'sealed' ORDER BY segment_id",
            (dataset,),
        )
        return [row["segment_id"] for row in rows]


def _oldest_staged(tx: sqlite3.Connection, dataset_id: int, state: BatchState) -> datetime | None:
    row = tx.execute(
        "SELECT min(staged_at) AS oldest FROM batches WHERE dataset_id = ? AND state = ?", (dataset_id, state)
    ).fetchone()
    return instant_or_none(row["oldest"])


def _known_keys(tx: sqlite3.Connection, dataset_id: int, staged: Sequence[StagedBatch]) -> dict[str, StagedBatch]:
    keys = [batch.idempotency_key for batch in staged if batch.idempotency_key is not None]
    return _by_key(tx, dataset_id, keys) if keys else {}


def _by_key(tx: sqlite3.Connection, dataset_id: int, keys: Sequence[str]) -> dict[str, StagedBatch]:
    found: dict[str, StagedBatch] = {}
    for start in range(0, len(keys), _MOST_PARAMETERS):
        some = keys[start : start + _MOST_PARAMETERS]
        rows = tx.execute(
            f"SELECT {_EPOCHLESS}, sequence FROM batches WHERE dataset_id = ? AND idempotency_key IN ({marks(some)})",
            (dataset_id, *some),
        )
        found |= published_under(tx, dataset_id, some) | {row["idempotency_key"]: staged_batch(row) for row in rows}
    return found


def _promise(tx: sqlite3.Connection, journal_id: str, record: Promise) -> Mapping[str, StagedBatch] | SchemaMoved:
    dataset_id = record.dataset_id or _first_promised(tx, record.basis)
    known = _known_keys(tx, dataset_id, record.batches)
    fresh = [batch for batch in record.batches if batch.idempotency_key not in known]
    if not fresh:
        return known
    if record.basis is not None:
        try:
            schema_changes.admit(tx, record.basis)
        except SchemaMoved as moved:
            return moved
    _insert(tx, dataset_id, journal_id, record.offset, fresh)
    total = sum((Volume(1, batch.rows, batch.bytes) for batch in fresh), Volume())
    volumes.add(tx, dataset_id, BatchState.PENDING, total)
    volumes.add(tx, dataset_id, volumes.ACCEPTED, total)
    bring_back(tx, dataset_id)
    return known


def _first_promised(tx: sqlite3.Connection, basis: Basis | None) -> int:
    assert basis is not None, "it names the dataset"
    return ensured_id(tx, basis.dataset)


def _insert(
    tx: sqlite3.Connection, dataset_id: int, journal_id: str, offset: int | None, batches: Sequence[StagedBatch]
) -> None:
    tx.executemany(
        "INSERT INTO batches (batch_id, dataset_id, segment_id, record_offset, sequence, rows, bytes, staged_at,"
        " idempotency_key, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')",
        [
            (
                b.batch_id,
                dataset_id,
                journal_id,
                offset,
                b.sequence,
                b.rows,
                b.bytes,
                clock.to_micros(b.staged_at),
                b.idempotency_key,
            )
            for b in batches
        ],
    )


def staged_batch(row: Row) -> StagedBatch:
    """Of a row with a batch's own columns."""
    return StagedBatch(
        batch_id=row["batch_id"],
        sequence=row["sequence"],
        rows=row["rows"],
        bytes=row["bytes"],
        staged_at=clock.from_micros(row["staged_at"]),
        idempotency_key=row["idempotency_key"],
    )

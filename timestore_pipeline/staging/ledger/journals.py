"""Journals in the ledger, the batches in them, and the transactions that move those into segments.

A row is written before the file exists and removed after the file is gone, as with segments.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from timestore_pipeline.errors import Fenced
from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.ledger.batches import staged_batch
from timestore_pipeline.staging.ledger.database import Database, Row
from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A journal and the process that appends to it."""

    journal_id: str
    owner: str
    closed: bool  # its owner appends no more


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """The place of a record, and its batches that still have to be published."""

    journal_id: str
    offset: int  # bytes
    batches: Sequence[StagedBatch]  # in order


class Journals:
    """The `journals` table, and the rows of `batches` with an offset."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, journal_id: str, owner: str) -> None:
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT INTO journals (journal_id, owner, state, created_at) VALUES (?, ?, 'open', ?)",
                (journal_id, owner, clock.to_micros(clock.now())),
            )

    def list_found(self, journal_id: str) -> None:
        """Of a file whose batches were entered; one that is listed already stays as it is."""
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT OR IGNORE INTO journals (journal_id, owner, state, created_at) VALUES (?, '', 'closed', ?)",
                (journal_id, clock.to_micros(clock.now())),
            )

    def close(self, journal_id: str) -> None:
        """From here on the file may be removed once no batch is owed from it."""
        with self._database.transaction() as tx:
            tx.execute("UPDATE journals SET state = 'closed' WHERE journal_id = ?", (journal_id,))

    def find(self, journal_id: str) -> JournalRow | None:
        row = self._database.row("SELECT journal_id, owner, state FROM journals WHERE journal_id = ?", (journal_id,))
        return None if row is None else _journal(row)

    def all(self) -> list[JournalRow]:
        """Oldest first."""
        rows = self._database.rows("SELECT journal_id, owner, state FROM journals ORDER BY journal_id")
        return [_journal(row) for row in rows]

    def idle(self) -> list[JournalRow]:
        """Journals from which no batch is owed; those of living owners may still be appended to."""
        rows = self._database.rows(
            "SELECT journal_id, owner, state FROM journals WHERE NOT EXISTS (SELECT 1 FROM batches WHERE"
            " batches.segment_id = journals.journal_id AND batches.state IN ('pending', 'in_flight', 'quarantined'))"
            " ORDER BY journal_id"
        )
        return [_journal(row) for row in rows]

    def forget(self, journal_ids: Sequence[str]) -> None:
        """Remove the rows, after the files."""
        if not journal_ids:
            return
        with self._database.transaction() as tx:
            tx.executemany("DELETE FROM journals WHERE journal_id = ?", ((name,) for name in journal_ids))

    def waiting(self, dataset: str) -> list[RecordPlace]:
        """Records with pending batches of the dataset, oldest journal first."""
        return places_of(self._database.rows(f"{PLACES} AND batches.state = 'pending' {IN_ORDER}", (dataset,)))

    def holding(self, dataset: str) -> list[str]:
        """Ids of the journals in which batches of the dataset are pending."""
        rows = self._database.rows(
            "SELECT DISTINCT segment_id FROM batches JOIN datasets USING (dataset_id)"
            " WHERE name = ? AND record_offset IS NOT NULL AND batches.state = 'pending' ORDER BY segment_id",
            (dataset,),
        )
        return [row["segment_id"] for row in rows]

    def of_flush(self, ref: FlushRef) -> list[RecordPlace]:
        """Records with batches that a flush holds."""
        condition = "AND batches.epoch = ? AND batches.state = 'in_flight'"
        return places_of(self._database.rows(f"{PLACES} {condition} {IN_ORDER}", (ref.dataset, ref.epoch)))

    def batches_waiting(self, dataset: str) -> set[str]:
        """Ids of the dataset's pending batches that lie in journals."""
        rows = self._database.rows(
            "SELECT batch_id FROM batches JOIN datasets USING (dataset_id)"
            " WHERE name = ? AND record_offset IS NOT NULL AND batches.state = 'pending'",
            (dataset,),
        )
        return {row["batch_id"] for row in rows}

    def set_aside(self, incident_id: int) -> list[RecordPlace]:
        """Records with batches that an incident has quarantined."""
        return places_of(
            self._database.rows(
                "SELECT batch_id, segment_id, record_offset, sequence, rows, bytes, staged_at, idempotency_key"
                " FROM batches WHERE incident_id = ? AND record_offset IS NOT NULL AND state = 'quarantined'"
                " ORDER BY segment_id, record_offset, sequence",
                (incident_id,),
            )
        )

    def owes(self, place: RecordPlace) -> bool:
        """Whether any batch of a record is still needed there: a roll-up may have moved them meanwhile."""
        row = self._database.row(
            "SELECT 1 FROM batches WHERE segment_id = ? AND record_offset = ? AND state IN ('pending', 'in_flight')"
            " LIMIT 1",
            (place.journal_id, place.offset),
        )
        return row is not None

    def datasets_waiting(self, journal_id: str | None = None) -> list[str]:
        """Names of the datasets that have pending batches in this journal, or in any."""
        rows = self._database.rows(
            "SELECT DISTINCT name FROM batches JOIN datasets USING (dataset_id) WHERE record_offset IS NOT NULL"
            " AND batches.state = 'pending' AND (:journal IS NULL OR segment_id = :journal) ORDER BY name",
            {"journal": journal_id},
        )
        return [row["name"] for row in rows]

    def bytes_of(self, dataset: str) -> int:
        """Arrow bytes of the dataset's batches that lie in journals."""
        row = self._database.row(
            "SELECT coalesce(sum(bytes), 0) AS bytes FROM batches WHERE record_offset IS NOT NULL"
            " AND state IN ('pending', 'in_flight', 'quarantined')"
            " AND dataset_id = (SELECT dataset_id FROM datasets WHERE name = ?)",
            (dataset,),
        )
        return int(row["bytes"]) if row else 0

    def move(self, segment_id: str, batches: Mapping[str, int]) -> int:
        """Point pending batches at the segment that holds copies of their rows, and seal it; returns how many moved.

        batches: id -> sequence in the segment. One that is no longer pending in a journal stays where it is; when none
        moves, the segment stays as it was. Raises `Fenced` when the segment is not being built.
        """
        with self._database.transaction() as tx:
            moved = sum(_move(tx, segment_id, batch_id, sequence) for batch_id, sequence in batches.items())
            if moved:
                _seal(tx, segment_id)
            return moved


# A dataset's batches in journals, as `places_of` needs them.
PLACES = (
    "SELECT batch_id, segment_id, record_offset, sequence, rows, bytes, staged_at, idempotency_key"
    " FROM batches JOIN datasets USING (dataset_id) WHERE name = ? AND record_offset IS NOT NULL"
)
IN_ORDER = "ORDER BY segment_id, record_offset, sequence"
OWED = f"{PLACES} AND batches.state IN ('pending', 'in_flight') {IN_ORDER}"


def places_of(rows: Sequence[Row]) -> list[RecordPlace]:
    """Rows of batches in journals, in order, by record."""
    by_record = groupby(rows, key=lambda row: (row["segment_id"], row["record_offset"]))
    return [
        RecordPlace(journal_id, offset, [staged_batch(row) for row in some]) for (journal_id, offset), some in by_record
    ]


def _move(tx: sqlite3.Connection, segment_id: str, batch_id: str, sequence: int) -> int:
    changed = tx.execute(
        "UPDATE batches SET segment_id = ?, sequence = ?, record_offset = NULL"
        " WHERE batch_id = ? AND record_offset IS NOT NULL AND state = 'pending'",
        (segment_id, sequence, batch_id),
    )
    return changed.rowcount


def _seal(tx: sqlite3.Connection, segment_id: str) -> None:
    sealed = tx.execute(
        "UPDATE segments SET state = 'sealed' WHERE segment_id = ? AND state = 'building'", (segment_id,)
    )
    if sealed.rowcount != 1:
        raise Fenced(f"segment {segment_id} was removed while it was built", hint="the next flush builds another one")


def _journal(row: Row) -> JournalRow:
    return JournalRow(row["journal_id"], row["owner"], row["state"] == "closed")

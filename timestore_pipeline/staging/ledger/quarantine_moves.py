"""The moves into quarantine, out of a claim or out of the queue.

Each is one transaction, in which the flush that held the batches shrinks by them. So a process that dies after it
leaves a smaller claim, and one that dies before it leaves everything as it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from timestore_pipeline.errors import Fenced
from timestore_pipeline.model.batch import BatchState, Damage, IncidentKind, IncidentReason, Resolution, Volume
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.ledger import volumes
from timestore_pipeline.staging.ledger.counters import increment
from timestore_pipeline.staging.ledger.database import Database, Row
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.staging.ledger.incidents import open_incident
from timestore_pipeline.system import clock

_OWED = "('pending', 'in_flight', 'quarantined')"  # states of batches that a segment still has to hold


class Quarantine:
    """Moves over `batches`, `flushes`, `segments`, `incidents` and `volumes` at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def segment(self, segment_id: str, damage: Damage, owner: str) -> int:
        """Set a segment aside: its salvaged batches point at their copies, the others are quarantined.

        owner: the process that found the damage. Returns the incident's id. Raises `Fenced` when another process has
        quarantined or removed it, took it over, or holds its batches in a claim.
        """
        with self._database.transaction() as tx:
            dataset_id = _require_ours(tx, segment_id, owner)
            incident_id = open_incident(tx, dataset_id, IncidentKind.SEGMENT, segment_id, damage.reason, damage.error)
            _relocate(tx, segment_id, damage)
            _quarantine(tx, dataset_id, "segment_id = :segment", {"segment": segment_id}, incident_id, damage.reason)
            _supersede(tx, segment_id, incident_id)
            tx.execute("UPDATE segments SET state = 'quarantined' WHERE segment_id = ?", (segment_id,))
            return incident_id

    def batches(self, ref: FlushRef, culprits: Mapping[str, str], owner: str) -> list[int]:
        """Take batches out of a claim into quarantine. culprits: batch id -> the error of an export with it.

        Returns one incident id each; none for a batch that the claim does not hold (any more). Raises `Fenced` when the
        claim is not the owner's, over or exported.
        """
        with self._database.transaction() as tx:
            dataset_id = _require_claim(tx, ref, owner)
            held = [(batch, error) for batch, error in culprits.items() if _holds(tx, dataset_id, ref, batch)]
            return [_one_batch(tx, dataset_id, batch, error) for batch, error in held]

    def journaled(
        self, dataset: str, kind: IncidentKind, culprits: Mapping[str, str], reason: IncidentReason
    ) -> list[int]:
        """Take batches out of the queue that lie in a journal and cannot be moved to a segment.

        culprits: batch id -> what is wrong with it. Returns one incident id for each error; none for a batch that is no
        longer pending in a journal.
        """
        with self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, dataset)
            pending = "batch_id = :batch AND record_offset IS NOT NULL AND state = 'pending'"
            return _journaled(tx, dataset_id, kind, culprits, reason, pending)

    def claimed_records(
        self, ref: FlushRef, culprits: Mapping[str, str], reason: IncidentReason, owner: str
    ) -> list[int]:
        """The same for batches of a claim, whose records cannot be read; raises `Fenced` as `batches` does."""
        with self._database.transaction() as tx:
            dataset_id = _require_claim(tx, ref, owner)
            held = f"batch_id = :batch AND record_offset IS NOT NULL AND state = 'in_flight' AND epoch = {ref.epoch:d}"
            return _journaled(tx, dataset_id, IncidentKind.RECORD, culprits, reason, held)

    def release(self, ref: FlushRef, batch_ids: Sequence[str], owner: str) -> int:
        """Give batches of a claim back to the queue with nothing counted against them; returns how many.

        Raises `Fenced` as `batches` does.
        """
        with self._database.transaction() as tx:
            dataset_id = _require_claim(tx, ref, owner)
            held = [batch for batch in batch_ids if _holds(tx, dataset_id, ref, batch)]
            for batch in held:
                volume = _volumes(tx, "batch_id = :batch", {"batch": batch})[BatchState.IN_FLIGHT]
                tx.execute("UPDATE batches SET state = 'pending', epoch = NULL WHERE batch_id = ?", (batch,))
                volumes.move(tx, dataset_id, BatchState.IN_FLIGHT, BatchState.PENDING, volume)
            _recount(tx, dataset_id, ref.epoch)
            return len(held)


def _require_ours(tx: sqlite3.Connection, segment_id: str, owner: str) -> int:
    """The dataset's id, if no other process may be at work on the segment."""
    row = tx.execute("SELECT dataset_id, owner, state FROM segments WHERE segment_id = ?", (segment_id,)).fetchone()
    others = tx.execute(
        "SELECT 1 FROM batches JOIN flushes USING (dataset_id, epoch) WHERE segment_id = ?"
        " AND batches.state = 'in_flight' AND NOT (flushes.owner = ? AND flushes.state = 'claimed')",
        (segment_id, owner),
    ).fetchone()
    taken = row is None or row["state"] != "sealed"
    if taken or others is not None:
        raise Fenced(f"segment {segment_id} now belongs to another process", hint="the next flush looks at it again")
    return int(row["dataset_id"])


def _require_claim(tx: sqlite3.Connection, ref: FlushRef, owner: str) -> int:
    dataset_id = dataset_id_of(tx, ref.dataset)
    row = tx.execute(
        "SELECT 1 FROM flushes WHERE dataset_id = ? AND epoch = ? AND owner = ? AND state = 'claimed'",
        (dataset_id, ref.epoch, owner),
    ).fetchone()
    if row is None:
        raise Fenced(
            f"flush {ref.epoch} of dataset {ref.dataset!r} is no longer this process's to change",
            dataset=ref.dataset,
            hint="its batches are safe: published, or pending again for the next flush",
        )
    return dataset_id


def _relocate(tx: sqlite3.Connection, segment_id: str, damage: Damage) -> None:
    """Their states stay: pending, held by the claim, or quarantined for another reason."""
    if damage.salvaged_to is None:
        return
    tx.executemany(
        f"UPDATE batches SET segment_id = ? WHERE segment_id = ? AND sequence = ? AND state IN {_OWED}",
        ((damage.salvaged_to, segment_id, sequence) for sequence in damage.salvaged),
    )
    sealed = tx.execute(
        "UPDATE segments SET state = 'sealed' WHERE segment_id = ? AND state = 'building'", (damage.salvaged_to,)
    )
    if sealed.rowcount != 1:
        raise Fenced(f"segment {damage.salvaged_to} was removed while it was made", hint="the next flush tries again")


def _holds(tx: sqlite3.Connection, dataset_id: int, ref: FlushRef, batch_id: str) -> bool:
    found = tx.execute(
        "SELECT 1 FROM batches WHERE batch_id = ? AND dataset_id = ? AND epoch = ? AND state = 'in_flight'",
        (batch_id, dataset_id, ref.epoch),
    )
    return found.fetchone() is not None


def _one_batch(tx: sqlite3.Connection, dataset_id: int, batch_id: str, error: str) -> int:
    row = tx.execute("SELECT segment_id FROM batches WHERE batch_id = ?", (batch_id,)).fetchone()
    reason = IncidentReason.POISON
    incident_id = open_incident(tx, dataset_id, IncidentKind.BATCH, row["segment_id"], reason, error)
    _quarantine(tx, dataset_id, "batch_id = :batch", {"batch": batch_id}, incident_id, reason)
    return incident_id


def _journaled(
    tx: sqlite3.Connection,
    dataset_id: int,
    kind: IncidentKind,
    culprits: Mapping[str, str],
    reason: IncidentReason,
    condition: str,
) -> list[int]:
    """An incident for each error, of the batches that meet the condition."""
    by_error: dict[str, list[str]] = {}
    for batch, error in culprits.items():
        if _volumes(tx, condition, {"batch": batch}):
            by_error.setdefault(error, []).append(batch)
    return [_one_error(tx, dataset_id, kind, batches, reason, error) for error, batches in by_error.items()]


def _one_error(
    tx: sqlite3.Connection,
    dataset_id: int,
    kind: IncidentKind,
    batch_ids: Sequence[str],
    reason: IncidentReason,
    error: str,
) -> int:
    row = tx.execute("SELECT segment_id FROM batches WHERE batch_id = ?", (batch_ids[0],)).fetchone()
    incident_id = open_incident(tx, dataset_id, kind, row["segment_id"], reason, error)
    for batch in batch_ids:
        _quarantine(tx, dataset_id, "batch_id = :batch", {"batch": batch}, incident_id, reason)
    return incident_id


def _quarantine(
    tx: sqlite3.Connection,
    dataset_id: int,
    condition: str,
    parameters: Mapping[str, str],
    incident_id: int,
    reason: IncidentReason,
) -> None:
    """Assign the batches that meet the condition to the incident; claims shrink by those that they held."""
    epochs = tx.execute(
        f"SELECT DISTINCT epoch FROM batches WHERE {condition} AND state = 'in_flight'", parameters
    ).fetchall()
    for state, volume in _volumes(tx, condition, parameters).items():
        volumes.move(tx, dataset_id, state, BatchState.QUARANTINED, volume)
        increment(tx, dataset_id, "quarantined_batches_total", {"reason": reason}, volume.batches)
    tx.execute(
        f"UPDATE batches SET state = 'quarantined', epoch = NULL, incident_id = :incident WHERE {condition}"
        f" AND state IN {_OWED}",
        {**parameters, "incident": incident_id},
    )
    for row in epochs:
        _recount(tx, dataset_id, row["epoch"])


def _volumes(tx: sqlite3.Connection, condition: str, parameters: Mapping[str, str]) -> dict[BatchState, Volume]:
    """What is pending and in flight under the condition."""
    rows = tx.execute(
        f"SELECT state, count(*) AS batches, sum(rows) AS rows, sum(bytes) AS bytes FROM batches WHERE {condition}"
        " AND state IN ('pending', 'in_flight') GROUP BY state",
        parameters,
    )
    return {BatchState(row["state"]): Volume(row["batches"], row["rows"], row["bytes"]) for row in rows}


def _recount(tx: sqlite3.Connection, dataset_id: int, epoch: int) -> None:
    """A flush's amounts are what it still holds."""
    left: Row = tx.execute(
        "SELECT count(*) AS batches, coalesce(sum(rows), 0) AS rows, coalesce(sum(bytes), 0) AS bytes,"
        " min(staged_at) AS oldest FROM batches WHERE dataset_id = ? AND epoch = ?",
        (dataset_id, epoch),
    ).fetchone()
    tx.execute(
        "UPDATE flushes SET batches = ?, rows = ?, bytes = ?, oldest_staged_at = coalesce(?, oldest_staged_at)"
        " WHERE dataset_id = ? AND epoch = ?",
        (*tuple(left), dataset_id, epoch),
    )


def _supersede(tx: sqlite3.Connection, segment_id: str, incident_id: int) -> None:
    """Close incidents of single batches whose batches now belong to the segment's incident."""
    tx.execute(
        "UPDATE incidents SET resolution = ?, resolved_at = ? WHERE kind = 'batch' AND resolution IS NULL"
        " AND incident_id != ? AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.incident_id = incidents.incident_id)"
        " AND dataset_id = (SELECT dataset_id FROM segments WHERE segment_id = ?)",
        (Resolution.SUPERSEDED, clock.to_micros(clock.now()), incident_id, segment_id),
    )

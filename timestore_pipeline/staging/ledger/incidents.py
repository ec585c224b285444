"""Incidents in the ledger: what was quarantined, and the operator's decision about it.

Each call is one transaction that compares before it changes: a step done twice changes nothing, one that comes too late
is refused with `Fenced`. How batches get here: `quarantine_moves`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from timestore_pipeline.errors import Fenced, UnknownIncident
from timestore_pipeline.model.batch import (
    BatchState,
    Incident,
    IncidentBatch,
    IncidentKind,
    IncidentReason,
    Resolution,
    StagedBatch,
    Volume,
)
from timestore_pipeline.staging.ledger import volumes
from timestore_pipeline.staging.ledger.counters import increment
from timestore_pipeline.staging.ledger.database import Database, Row, instant_or_none
from timestore_pipeline.system import clock

_LARGEST = 2**63 - 1  # largest whole number that SQLite can look up

_SELECT = """
SELECT incidents.*, name, count(batch_id) AS batches, coalesce(sum(batches.rows), 0) AS rows,
    coalesce(sum(batches.bytes), 0) AS bytes
FROM incidents JOIN datasets USING (dataset_id) LEFT JOIN batches USING (incident_id)
"""
_GROUP = "GROUP BY incidents.incident_id ORDER BY incidents.incident_id"


@dataclass(frozen=True, slots=True)
class Displaced:
    """A segment whose file may have to be moved."""

    segment_id: str
    quarantined: bool  # the file belongs into the quarantine folder; False = back among the segments


class Incidents:
    """The `incidents` table, and the batches that refer to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, dataset: str | None = None, *, resolved: bool = False) -> list[Incident]:
        """Oldest first. resolved: also those an operator has decided on."""
        rows = self._database.rows(
            f"{_SELECT} WHERE (:dataset IS NULL OR name = :dataset) AND (:resolved OR resolution IS NULL) {_GROUP}",
            {"dataset": dataset, "resolved": resolved},
        )
        return [_incident(row) for row in rows]

    def get(self, incident_id: int) -> Incident:
        """Raise `UnknownIncident`."""
        if abs(incident_id) > _LARGEST:
            raise _unknown(incident_id)
        row = self._database.row(f"{_SELECT} WHERE incidents.incident_id = ? {_GROUP}", (incident_id,))
        if row is None:
            raise _unknown(incident_id)
        return _incident(row)

    def batches(self, incident_id: int) -> list[IncidentBatch]:
        """Its batches, in the order of the rows."""
        rows = self._database.rows(
            "SELECT * FROM batches WHERE incident_id = ? ORDER BY segment_id, sequence", (incident_id,)
        )
        return [_batch(row) for row in rows]

    def requeue(self, incident_id: int) -> bool:
        """Return its batches to the queue, without failures on record; False when that was done already.

        The caller has made sure that the segment holds them. Raises `Fenced` when the incident ended otherwise, and
        for a batch whose segment was set aside since.
        """
        with self._database.transaction() as tx:
            incident = _open_incident(tx, incident_id, Resolution.REQUEUED)
            if incident is None:
                return False
            if incident["kind"] == IncidentKind.SEGMENT:
                tx.execute("UPDATE segments SET state = 'sealed' WHERE segment_id = ?", (incident["segment_id"],))
            moved = _move(tx, incident, BatchState.PENDING)
            tx.execute("UPDATE batches SET attempts = 0 WHERE incident_id = ? AND state = 'pending'", (incident_id,))
            increment(tx, incident["dataset_id"], "requeued_batches_total", {}, moved.batches)
            return True

    def discard(self, incident_id: int) -> bool:
        """Give up its batches; False when that was done already. Raises `Fenced` when it ended otherwise."""
        with self._database.transaction() as tx:
            incident = _open_incident(tx, incident_id, Resolution.DISCARDED)
            if incident is None:
                return False
            moved = _move(tx, incident, BatchState.DISCARDED)
            increment(tx, incident["dataset_id"], "discarded_batches_total", {}, moved.batches)
            return True

    def displaced(self, dataset: str) -> list[Displaced]:
        """Segments of the dataset that are, or once were, in quarantine."""
        rows = self._database.rows(
            "SELECT segment_id, state FROM segments WHERE state IN ('sealed', 'quarantined') AND segment_id IN ("
            "SELECT segment_id FROM incidents JOIN datasets USING (dataset_id) WHERE name = ? AND kind = 'segment')",
            (dataset,),
        )
        return [Displaced(row["segment_id"], row["state"] == "quarantined") for row in rows]

    def given_up(self, dataset: str) -> list[str]:
        """Quarantined segments that no open incident holds: their files may be unlinked."""
        rows = self._database.rows(
            "SELECT segment_id FROM segments JOIN datasets USING (dataset_id) WHERE name = ?"
            " AND segments.state = 'quarantined' AND NOT EXISTS (SELECT 1 FROM incidents WHERE"
            " incidents.segment_id = segments.segment_id AND kind = 'segment' AND resolution IS NULL)",
            (dataset,),
        )
        return [row["segment_id"] for row in rows]


def open_incident(
    tx: sqlite3.Connection, dataset_id: int, kind: IncidentKind, segment_id: str, reason: IncidentReason, error: str
) -> int:
    """Add the row of a new incident; the caller assigns the batches to it in the same transaction."""
    inserted = tx.execute(
        "INSERT INTO incidents (dataset_id, kind, segment_id, code, error, opened_at) VALUES (?, ?, ?, ?, ?, ?)",
        (dataset_id, kind, segment_id, reason, error, clock.to_micros(clock.now())),
    )
    return int(inserted.lastrowid or 0)


def _open_incident(tx: sqlite3.Connection, incident_id: int, wanted: Resolution) -> Row | None:
    """Resolve the incident and return it; None when it was resolved like this before."""
    row: Row | None = tx.execute("SELECT * FROM incidents WHERE incident_id = ?", (incident_id,)).fetchone()
    if row is None:
        raise _unknown(incident_id)
    if row["resolution"] == wanted:
        return None
    if row["resolution"] is not None:
        raise Fenced(f"incident {incident_id} is {row['resolution']} already", hint="`timestore quarantine list --all`")
    tx.execute(
        "UPDATE incidents SET resolution = ?, resolved_at = ? WHERE incident_id = ?",
        (wanted, clock.to_micros(clock.now()), incident_id),
    )
    return row


def _move(tx: sqlite3.Connection, incident: Row, target: BatchState) -> Volume:
    row = tx.execute(
        "SELECT count(*) AS batches, coalesce(sum(rows), 0) AS rows, coalesce(sum(bytes), 0) AS bytes FROM batches"
        " WHERE incident_id = ? AND state = 'quarantined'",
        (incident["incident_id"],),
    ).fetchone()
    moved = Volume(row["batches"], row["rows"], row["bytes"])
    tx.execute(
        "UPDATE batches SET state = ? WHERE incident_id = ? AND state = 'quarantined'",
        (target, incident["incident_id"]),
    )
    volumes.move(tx, incident["dataset_id"], BatchState.QUARANTINED, target, moved)
    return moved


def _unknown(incident_id: int) -> UnknownIncident:
    return UnknownIncident(f"there is no incident {incident_id}", hint="see `timestore quarantine list --all`")


def _incident(row: Row) -> Incident:
    return Incident(
        incident_id=row["incident_id"],
        dataset=row["name"],
        kind=IncidentKind(row["kind"]),
        segment_id=row["segment_id"],
        reason=IncidentReason(row["code"]),
        error=row["error"],
        opened_at=clock.from_micros(row["opened_at"]),
        volume=Volume(row["batches"], row["rows"], row["bytes"]),
        resolution=None if row["resolution"] is None else Resolution(row["resolution"]),
        resolved_at=instant_or_none(row["resolved_at"]),
    )


def _batch(row: Row) -> IncidentBatch:
    staged = StagedBatch(
        batch_id=row["batch_id"],
        sequence=row["sequence"],
        rows=row["rows"],
        bytes=row["bytes"],
        staged_at=clock.from_micros(row["staged_at"]),
        idempotency_key=row["idempotency_key"],
    )
    return IncidentBatch(staged, row["segment_id"], BatchState(row["state"]), row["attempts"])

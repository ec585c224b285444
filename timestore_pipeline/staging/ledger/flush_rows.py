"""Rows of the `flushes` table: as `Flush`es with the totals of their files, their state checked or ended, their phases.

A step that comes too late is refused with `Fenced`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta

from timestore_pipeline.errors import Fenced
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Flush, FlushRef, FlushState, Phase, Trigger
from timestore_pipeline.staging.ledger.database import Database, Row, instant_or_none
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.system import clock

SELECT = """
SELECT name, flushes.*, count(file_id) AS file_count, coalesce(sum(files.bytes), 0) AS file_bytes,
    min(min_time) AS min_time, max(max_time) AS max_time
FROM flushes JOIN datasets USING (dataset_id) LEFT JOIN files USING (dataset_id, epoch)
"""
GROUP = " GROUP BY name, flushes.epoch"


def flush_of(row: Row) -> Flush:
    return Flush(
        dataset=row["name"],
        epoch=row["epoch"],
        state=FlushState(row["state"]),
        trigger=Trigger(row["trigger"]),
        run_id=row["run_id"],
        owner=row["owner"],
        volume=Volume(row["batches"], row["rows"], row["bytes"]),
        claimed_at=clock.from_micros(row["claimed_at"]),
        finished_at=instant_or_none(row["finished_at"]),
        error=row["error"],
        files=row["file_count"],
        file_bytes=row["file_bytes"],
        version=row["version"],
        oldest_staged_at=clock.from_micros(row["oldest_staged_at"]),
        min_time=instant_or_none(row["min_time"]),
        max_time=instant_or_none(row["max_time"]),
        phases=durations(row),
    )


def state_of(tx: sqlite3.Connection, ref: FlushRef) -> FlushState:
    row = tx.execute(
        "SELECT state FROM flushes JOIN datasets USING (dataset_id) WHERE name = ? AND epoch = ?",
        (ref.dataset, ref.epoch),
    ).fetchone()
    if row is None:
        raise Fenced(f"there is no flush {ref.epoch} of dataset {ref.dataset!r}", dataset=ref.dataset)
    return FlushState(row["state"])


def require_live(tx: sqlite3.Connection, ref: FlushRef) -> int:
    """The dataset's id; raise `Fenced` when the flush has ended."""
    state = state_of(tx, ref)
    if state in (FlushState.PUBLISHED, FlushState.ABORTED):
        raise Fenced(
            f"flush {ref.epoch} of dataset {ref.dataset!r} is {state} already",
            dataset=ref.dataset,
            hint="its batches are safe: published, or pending again for the next flush",
        )
    return dataset_id_of(tx, ref.dataset)


def require_owner(tx: sqlite3.Connection, ref: FlushRef, dataset_id: int, owner: str | None) -> None:
    row = tx.execute("SELECT owner FROM flushes WHERE dataset_id = ? AND epoch = ?", (dataset_id, ref.epoch)).fetchone()
    if owner not in (None, row["owner"]):
        raise Fenced(
            f"flush {ref.epoch} of dataset {ref.dataset!r} now belongs to process {row['owner']}",
            dataset=ref.dataset,
            hint="this process was considered dead; its batches are safe",
        )


def end_flush(
    tx: sqlite3.Connection, ref: FlushRef, dataset_id: int, state: FlushState, assignment: str, value: str | int | None
) -> Volume:
    row = tx.execute(
        f"UPDATE flushes SET state = ?, finished_at = ?, {assignment} WHERE dataset_id = ? AND epoch = ?"
        " RETURNING batches, rows, bytes",
        (state, clock.to_micros(clock.now()), value, dataset_id, ref.epoch),
    ).fetchone()
    return Volume(row["batches"], row["rows"], row["bytes"])


_COLUMNS = {  # phase -> columns of its begin and its end
    Phase.CLAIM: ("began_at", "claimed_at"),
    Phase.EXPORT: ("export_began_at", "exported_at"),
    Phase.PUBLISH: ("publish_began_at", "published_at"),
    Phase.FINALIZE: ("finalize_began_at", "finished_at"),
}


class Phases:
    """When the phases of a flush began and ended: instants in the `flushes` table.

    Each phase may run in another process, with pauses in between, so its instants are written when it ends or fails. If
    a process dies in a phase, only the end of the phase before is known. A lost instant costs a number in the log,
    never a flush.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def began(self, ref: FlushRef, phase: Phase, at: datetime) -> None:
        """For the phases whose end another transaction writes down: claim and finalize."""
        self._set(ref, {_COLUMNS[phase][0]: at})

    def ended(self, ref: FlushRef, phase: Phase, began_at: datetime, owner: str) -> None:
        """Export or publish succeeded now. owner: the process that ran it; without the claim it writes nothing."""
        begin, end = _COLUMNS[phase]
        self._set(ref, {begin: began_at, end: clock.now()}, owner)

    def failed(self, ref: FlushRef, phase: Phase, began_at: datetime, owner: str) -> None:
        self._set(ref, {_COLUMNS[phase][0]: began_at, "failed_at": clock.now()}, owner)

    def _set(self, ref: FlushRef, instants: Mapping[str, datetime], owner: str | None = None) -> None:
        """Only what is still unset: a phase that is repeated keeps its first instants."""
        assignments = ", ".join(f"{column} = coalesce({column}, ?)" for column in instants)
        with self._database.transaction() as tx:
            tx.execute(
                f"UPDATE flushes SET {assignments} WHERE epoch = ? AND finished_at IS NULL"
                " AND dataset_id = (SELECT dataset_id FROM datasets WHERE name = ?) AND owner = coalesce(?, owner)",
                (*(clock.to_micros(at) for at in instants.values()), ref.epoch, ref.dataset, owner),
            )


def durations(row: Row) -> dict[Phase, timedelta]:
    """The known durations of a row of `flushes`; a phase that failed lasted until it failed."""
    found: dict[Phase, timedelta] = {}
    for phase, (begin, end) in _COLUMNS.items():
        well = phase is not Phase.FINALIZE or row["state"] == FlushState.PUBLISHED
        ended = row[end] if well and row[end] is not None else row["failed_at"]
        if row[begin] is not None and ended is not None:
            found[phase] = timedelta(microseconds=max(ended - row[begin], 0))  # the clock may have been set back
    return found

"""When the phases of a flush began and ended.

Each phase may run in another process, with pauses between them, so its instants are written down when it ends, well or
not. Of a process that dies in a phase nothing is known but where the flush stood before. Losing an instant costs a
number in the log, never a flush.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from timestore_pipeline.model.flush import FlushRef, FlushState, Phase
from timestore_pipeline.staging.ledger.database import Database, Row
from timestore_pipeline.system import clock

_COLUMNS = {  # phase -> columns of its begin and its end
    Phase.CLAIM: ("began_at", "claimed_at"),
    Phase.EXPORT: ("export_began_at", "exported_at"),
    Phase.PUBLISH: ("publish_began_at", "published_at"),
    Phase.FINALIZE: ("finalize_began_at", "finished_at"),
}


class Phases:
    """Instants in the `flushes` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def began(self, ref: FlushRef, phase: Phase, at: datetime) -> None:
        """For the phases whose end another transaction writes down: claim and finalize."""
        self._set(ref, {_COLUMNS[phase][0]: at})

    def ended(self, ref: FlushRef, phase: Phase, began_at: datetime, owner: str) -> None:
        """Now, and well; export and publish. owner: the process it ran in; if the claim is another's, nothing is."""
        begin, end = _COLUMNS[phase]
        self._set(ref, {begin: began_at, end: clock.now()}, owner)

    def failed(self, ref: FlushRef, phase: Phase, began_at: datetime, owner: str) -> None:
        self._set(ref, {_COLUMNS[phase][0]: began_at, "failed_at": clock.now()}, owner)

    def _set(self, ref: FlushRef, instants: Mapping[str, datetime], owner: str | None = None) -> None:
        """What is written down stays: a phase that is done again does nothing."""
        assignments = ", ".join(f"{column} = coalesce({column}, ?)" for column in instants)
        with self._database.transaction() as tx:
            tx.execute(
                f"UPDATE flushes SET {assignments} WHERE epoch = ? AND finished_at IS NULL"
                " AND dataset_id = (SELECT dataset_id FROM datasets WHERE name = ?) AND owner = coalesce(?, owner)",
                (*(clock.to_micros(at) for at in instants.values()), ref.epoch, ref.dataset, owner),
            )


def durations(row: Row) -> dict[Phase, timedelta]:
    """What is known of a row of `flushes`; a phase that failed lasted until it failed."""
    found: dict[Phase, timedelta] = {}
    for phase, (begin, end) in _COLUMNS.items():
        well = phase is not Phase.FINALIZE or row["state"] == FlushState.PUBLISHED
        ended = row[end] if well and row[end] is not None else row["failed_at"]
        if row[begin] is not None and ended is not None:
            found[phase] = timedelta(microseconds=max(ended - row[begin], 0))  # the clock may have been set back
    return found

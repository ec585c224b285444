"""Backlogs: what waits in each dataset, read by one statement however many datasets there are.

The sensor reads them at every tick, so a dataset costs it a few seeks and one object: its amounts are running totals,
and no batch is counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Backlog, FlushRef, Trigger
from timestore_pipeline.staging.ledger.database import Database, instant_or_none
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.staging.ledger.flush_failures import block_of

_NOTHING = Volume()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a backlog says that stands in no table."""

    segment_bytes: Callable[[str], int]  # of a dataset's segment files
    is_worked_on: Callable[[FlushRef, str], bool]  # whether the owner of a claim is at work


_LEDGER_ALONE = Surroundings(lambda _: 0, lambda *_: True)


class Backlogs:
    """Reads `datasets`, `volumes`, `batches` and `flushes`. Without `Surroundings` no file counts, no owner is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, around: Surroundings = _LEDGER_ALONE) -> list[Backlog]:
        """Every dataset's that is not removed, in name order."""
        return self._backlogs("removed_at IS NULL", around)

    def waiting(self, around: Surroundings = _LEDGER_ALONE) -> list[Backlog]:
        """Datasets with something pending or in flight, in name order: ten thousand that rest cost a tick nothing."""
        return self._backlogs(f"removed_at IS NULL AND d.dataset_id IN ({_WAITING})", around)

    def of(self, dataset: str, around: Surroundings = _LEDGER_ALONE) -> Backlog:
        """One dataset's, removed or not; raises `UnknownDataset`."""
        with self._database.snapshot() as tx:
            dataset_id = dataset_id_of(tx, dataset)
            row = _Row._make(tx.execute(f"{_BACKLOG} WHERE d.dataset_id = ?", (dataset_id,)).fetchone())
            journaled = _journaled_bytes(tx, "AND dataset_id = ?", dataset_id)
        return _backlog(row, journaled.get(dataset_id, 0), around)

    def _backlogs(self, condition: str, around: Surroundings) -> list[Backlog]:
        with self._database.snapshot() as tx:
            found = [_Row._make(row) for row in tx.execute(f"{_BACKLOG} WHERE {condition}")]
            journaled = _journaled_bytes(tx)
        found.sort(key=lambda row: row.name)  # SQLite would sort whole rows
        return [_backlog(row, journaled.get(row.dataset_id, 0), around) for row in found]


class _Row(NamedTuple):
    """A row of `_BACKLOG`: by position, because SQLite's rows look each name up. A total that is None is zero."""

    dataset_id: int
    name: str
    pending_batches: int | None
    pending_rows: int
    pending_bytes: int
    in_flight_batches: int | None
    in_flight_rows: int
    in_flight_bytes: int
    quarantined_batches: int | None
    quarantined_rows: int
    quarantined_bytes: int
    accepted_batches: int | None
    accepted_rows: int
    accepted_bytes: int
    oldest_pending: int | None
    newest_pending: int | None
    oldest_in_flight: int | None
    paused: int
    manual_requested_at: int | None
    retry_at: int | None
    failures: int
    last_error: str | None
    blocked: str | None
    layout_open: int
    claim_owner: str  # None without a claim, as the next three
    claim_epoch: int
    claim_trigger: str | None
    claimed_at: int | None


_WAITING = "SELECT dataset_id FROM volumes WHERE state IN ('pending', 'in_flight') AND batches > 0"
# Left to itself SQLite takes the primary key of `flushes`, and reads a year of flushes at every tick.
_BACKLOG = """
SELECT d.dataset_id, d.name, p.batches, p.rows, p.bytes, i.batches, i.rows, i.bytes, q.batches, q.rows, q.bytes,
    a.batches, a.rows, a.bytes,
    (SELECT min(staged_at) FROM batches b WHERE b.dataset_id = d.dataset_id AND b.state = 'pending'),
    (SELECT max(staged_at) FROM batches b WHERE b.dataset_id = d.dataset_id AND b.state = 'pending'),
    CASE WHEN i.batches THEN
        (SELECT min(staged_at) FROM batches b WHERE b.dataset_id = d.dataset_id AND b.state = 'in_flight') END,
    d.paused, d.manual_requested_at, d.retry_at, d.failures,
    CASE WHEN d.retry_at THEN
        (SELECT error FROM flushes l WHERE l.dataset_id = d.dataset_id ORDER BY epoch DESC LIMIT 1) END,
    d.blocked, d.schema IS NOT NULL AND d.granularity IS NULL, f.owner, f.epoch, f.trigger, f.claimed_at
FROM datasets d
LEFT JOIN volumes p ON p.dataset_id = d.dataset_id AND p.state = 'pending'
LEFT JOIN volumes i ON i.dataset_id = d.dataset_id AND i.state = 'in_flight'
LEFT JOIN volumes q ON q.dataset_id = d.dataset_id AND q.state = 'quarantined'
LEFT JOIN volumes a ON a.dataset_id = d.dataset_id AND a.state = 'accepted'
LEFT JOIN flushes f INDEXED BY flushes_by_state ON f.dataset_id = d.dataset_id AND f.state IN ('claimed', 'exported')
"""


def _journaled_bytes(tx: sqlite3.Connection, condition: str = "", *parameters: int) -> dict[int, int]:
    """Dataset id -> Arrow bytes of its batches that lie in journals; datasets without any are absent."""
    rows = tx.execute(
        "SELECT dataset_id, sum(bytes) FROM batches WHERE record_offset IS NOT NULL"
        f" AND state IN ('pending', 'in_flight', 'quarantined') {condition} GROUP BY dataset_id",
        parameters,
    )
    return dict(rows.fetchall())


def _backlog(row: _Row, journaled_bytes: int, around: Surroundings) -> Backlog:
    oldest_pending, oldest_in_flight = instant_or_none(row.oldest_pending), instant_or_none(row.oldest_in_flight)
    return Backlog(
        dataset=row.name,
        pending=_volume(row.pending_batches, row.pending_rows, row.pending_bytes),
        in_flight=_volume(row.in_flight_batches, row.in_flight_rows, row.in_flight_bytes),
        quarantined=_volume(row.quarantined_batches, row.quarantined_rows, row.quarantined_bytes),
        oldest_pending_at=oldest_pending,
        oldest_staged_at=_earlier(oldest_pending, oldest_in_flight),
        disk_bytes=around.segment_bytes(row.name) + journaled_bytes,
        paused=bool(row.paused),
        manual_requested_at=instant_or_none(row.manual_requested_at),
        retry_at=instant_or_none(row.retry_at),
        failures=row.failures,
        last_error=row.last_error,
        newest_pending_at=instant_or_none(row.newest_pending),
        claim_trigger=None if row.claim_trigger is None else Trigger(row.claim_trigger),
        claim_owner_alive=row.claim_trigger is not None
        and around.is_worked_on(FlushRef(row.name, row.claim_epoch), row.claim_owner),
        claimed_at=instant_or_none(row.claimed_at),
        block=block_of(row.blocked),
        layout_open=bool(row.layout_open),
        accepted=_volume(row.accepted_batches, row.accepted_rows, row.accepted_bytes),
    )


def _volume(batches: int | None, rows: int, size: int) -> Volume:
    return _NOTHING if batches is None else Volume(batches, rows, size)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return one or other if one is None or other is None else min(one, other)

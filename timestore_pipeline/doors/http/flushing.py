"""Flushes that a client waits for: requested in the ledger, carried out by runs of the sensor, and watched here.

The server flushes nothing itself: a look at the ledger, twice a second, shows what is left. When the time is over, the
client disconnects or the server stops, only the wait ends: a request stands in the ledger until its flush is published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from timestore_pipeline.doors.documents import volume_document
from timestore_pipeline.doors.http.capacity import BlockingCalls, Shares
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.model.thresholds import SENSOR_LATE
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

_POLL = 0.5  # seconds between two looks
_GOES_ON = "the request stands, and the sensor flushes: ask again to wait for it"
_NO_SENSOR = "no flush sensor ticks: start Dagster, or run `timestore drain` on the server's host"
_BLOCKED = "no flush is tried before the reason is removed: see `timestore explain`"


class Outcome(StrEnum):
    """What has become of one dataset."""

    NOTHING_STAGED = "nothing_staged"
    FLUSHED = "flushed"  # what was asked for is published, or in quarantine
    REQUESTED = "requested"
    IN_FLIGHT = "in_flight"
    BLOCKED = "blocked"  # no flush is tried before something is changed


@dataclass(frozen=True, slots=True)
class Demand:
    """What a client asks for."""

    covers: Callable[[str], bool]  # whether it may flush a dataset
    wait: float  # seconds
    dataset: str | None = None  # None = all that it may flush
    until_empty: bool = False  # also batches that arrive meanwhile; False = those that were staged before

    def is_owed(self, status: DatasetStatus, since: datetime) -> bool:
        """Whether something that was asked for is not published yet."""
        oldest = status.backlog.oldest_staged_at
        return oldest is not None and (self.until_empty or oldest <= since)


class Flushing:
    """Created and used in the server's event loop. stopping: whether the server is shutting down."""

    def __init__(self, store: Timestore, limits: Limits, stopping: Callable[[], bool]) -> None:
        self._store = store
        self._stopping = stopping
        self._waits = Shares(limits.flush_waits, limits.flush_waits_of_one, "flush requests")
        self._calls = BlockingCalls(1, limits.flush_waits, "flush requests")

    def close(self) -> None:
        self._calls.close()

    async def carry_out(self, peer: str, demand: Demand, is_gone: Callable[[], bool]) -> dict[str, Any]:
        """The answer's document. is_gone: whether the client sends no more. Raises `UnknownDataset`."""
        with self._waits.one(peer):
            since, deadline = clock.now(), clock.monotonic() + demand.wait
            left = await self._calls.run(self._request, demand)
            names = {status.backlog.dataset for status in left}
            while left and (pause := min(_POLL, deadline - clock.monotonic())) > 0:
                await asyncio.sleep(pause)
                left = await self._calls.run(self._renew, demand, since)
                names |= {status.backlog.dataset for status in left}
                if self._stopping() or is_gone() or all(status.decision.waits_for for status in left):
                    break
            return await self._calls.run(self._report, demand, since, names)

    def _request(self, demand: Demand) -> list[DatasetStatus]:
        """Request a flush of each dataset with pending batches; returns those with anything staged."""
        found = [status for status in self._statuses(demand) if status.backlog.queued.batches]
        self._request_each(status for status in found if status.backlog.pending.batches)
        return found

    def _renew(self, demand: Demand, since: datetime) -> list[DatasetStatus]:
        """What is left, with a request for each that has none: a claim is bounded, and a flush may leave a rest."""
        left = [status for status in self._statuses(demand) if demand.is_owed(status, since)]
        unasked = (status for status in left if status.backlog.manual_requested_at is None)
        self._request_each(status for status in unasked if status.backlog.pending.batches)
        return left

    def _request_each(self, statuses: Iterable[DatasetStatus]) -> None:
        for status in statuses:
            self._store.request_flush(status.backlog.dataset)

    def _statuses(self, demand: Demand) -> list[DatasetStatus]:
        if demand.dataset is not None:
            return [self._store.status(demand.dataset)]
        return [status for status in self._store.waiting() if demand.covers(status.backlog.dataset)]

    def _report(self, demand: Demand, since: datetime, names: Set[str]) -> dict[str, Any]:
        """Of the datasets that had anything staged, and of a named one."""
        if demand.dataset is not None:
            statuses = [self._store.status(demand.dataset)]
        else:
            statuses = [status for status in self._store.statuses() if status.backlog.dataset in names]
        outcomes = [(status, _outcome(demand, since, status, names)) for status in statuses]
        left = [outcome for _, outcome in outcomes if outcome not in (Outcome.FLUSHED, Outcome.NOTHING_STAGED)]
        late = self._sensor_is_late()
        return {
            "done": not left,
            "sensor_late": late,
            "hint": _hint(left, late=late),
            "datasets": [_document(status, outcome) for status, outcome in outcomes],
        }

    def _sensor_is_late(self) -> bool:
        ticked = self._store.area.ledger.get_meta(SENSOR_LAST_TICK)
        return ticked is None or clock.now() - clock.from_micros(int(ticked)) > SENSOR_LATE


def _outcome(demand: Demand, since: datetime, status: DatasetStatus, names: Set[str]) -> Outcome:
    if not demand.is_owed(status, since):
        return Outcome.FLUSHED if status.backlog.dataset in names else Outcome.NOTHING_STAGED
    if status.decision.waits_for:
        return Outcome.BLOCKED
    return Outcome.REQUESTED if status.backlog.claim_trigger is None else Outcome.IN_FLIGHT


def _hint(left: Sequence[Outcome], *, late: bool) -> str:
    if not left:
        return ""
    if all(outcome is Outcome.BLOCKED for outcome in left):
        return _BLOCKED
    return _NO_SENSOR if late else _GOES_ON


def _document(status: DatasetStatus, outcome: Outcome) -> dict[str, Any]:
    return {
        "dataset": status.backlog.dataset,
        "outcome": outcome,
        "waiting": volume_document(status.backlog.queued),
        "quarantined": volume_document(status.backlog.quarantined),
        "reason": status.decision.reason,
    }

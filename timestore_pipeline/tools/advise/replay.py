"""Replays a dataset's past arrivals under other thresholds, and gives the flushes that these would have caused.

A flush begins a while after its dataset is due, and takes the batches that have arrived until then. The last batches,
which never became due, are left out: it is unknown which batches would have followed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from timestore_pipeline.model.limits import FlushThresholds
from timestore_pipeline.staging.ledger.batch_history import Arrival
from timestore_pipeline.tools.advise.history import History


@dataclass(frozen=True, slots=True)
class Replayed:
    """One simulated flush. `age`: of its oldest row when the flush began."""

    bytes: int  # Arrow
    age: timedelta


@dataclass(frozen=True, slots=True)
class Outlook:
    """What readers would have seen. Sizes of Parquet files in bytes, ages in seconds; None = there was no flush."""

    flushes: int
    file_bytes: float | None  # median
    age_seconds: float | None  # 95th percentile: of a flush's oldest row when it becomes readable


def outlook(history: History, thresholds: FlushThresholds, reaction: float) -> Outlook:
    """reaction: seconds from being due to the beginning of a flush."""
    flushes = list(replay(history.arrivals, thresholds, timedelta(seconds=reaction)))
    if not flushes:
        return Outlook(0, None, None)
    ages = sorted(flush.age.total_seconds() + history.flush_seconds for flush in flushes)
    median = statistics.median(history.file_of(flush.bytes) for flush in flushes)
    return Outlook(len(flushes), median, ages[math.ceil(0.95 * len(ages)) - 1])


def replay(arrivals: Sequence[Arrival], thresholds: FlushThresholds, reaction: timedelta) -> Iterator[Replayed]:
    """arrivals: oldest first."""
    waiting = _Waiting()
    for arrival in arrivals:
        if waiting.due_at is not None and arrival.at > waiting.due_at + reaction:
            yield waiting.flushed(waiting.due_at + reaction)
            waiting = _Waiting()
        waiting.add(arrival, thresholds)
    if waiting.due_at is not None and waiting.due_at + reaction <= arrivals[-1].at:
        yield waiting.flushed(waiting.due_at + reaction)


@dataclass(slots=True)
class _Waiting:
    """The arrivals since the last flush. `due_at`: None = never, unless more batches arrive."""

    rows: int = 0
    bytes: int = 0
    oldest: datetime | None = None
    due_at: datetime | None = None

    def add(self, arrival: Arrival, thresholds: FlushThresholds) -> None:
        self.rows, self.bytes = self.rows + arrival.rows, self.bytes + arrival.bytes
        if self.oldest is None:
            self.oldest = arrival.at
            self.due_at = arrival.at + thresholds.max_age if thresholds.max_age else None
        if self._is_full(thresholds):
            self.due_at = arrival.at if self.due_at is None else min(self.due_at, arrival.at)

    def flushed(self, begins: datetime) -> Replayed:
        return Replayed(self.bytes, begins - (self.oldest or begins))

    def _is_full(self, thresholds: FlushThresholds) -> bool:
        reached = ((self.rows, thresholds.max_rows), (self.bytes, thresholds.max_bytes))
        return thresholds.all_off or any(limit and amount >= limit for amount, limit in reached)

"""Proposes flush thresholds for a wanted file size and freshness, from a dataset's own history.

The past is replayed under other thresholds. A flush begins a while after its dataset is due, and takes the batches that
have arrived until then. The last batches, which never became due, are left out: it is unknown which would have
followed.

Freshness has priority: an age is a promise to readers, a file's size is a convenience. The byte threshold sets the
file size when rows arrive fast; the row threshold is set so high that the byte threshold is reached first.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from timestore_pipeline.errors import TooLittleHistory
from timestore_pipeline.model.flush import Flush, FlushState
from timestore_pipeline.model.thresholds import FlushThresholds
from timestore_pipeline.staging.ledger.batch_history import Arrival

LEAST_FLUSHES = 3  # published; fewer do not predict the next one
LEAST_BATCHES = 10
REACTION = 15.0  # seconds from a dataset being due to its flush: the sensor's tick, up to 10 s, and the start of a run

_LEAST_AGE = 1.0  # seconds
_BELOW_GUARDRAIL = 0.8  # segments take more room than the rows in them
_ROWS_MARGIN = 1.25  # rows differ in size; the byte threshold must be reached first
_SMALL = 0.5  # of the wanted size: files below it count as small


@dataclass(frozen=True, slots=True)
class History:
    """Arrivals and published flushes, both oldest first and of some length: see `of`."""

    dataset: str
    arrivals: Sequence[Arrival]
    flushes: Sequence[Flush]

    @classmethod
    def of(cls, dataset: str, arrivals: Sequence[Arrival], flushes: Sequence[Flush]) -> History:
        """flushes: of any outcome, in any order. Raises `TooLittleHistory`."""
        published = [flush for flush in flushes if flush.state is FlushState.PUBLISHED and flush.files]
        if len(published) < LEAST_FLUSHES or len(arrivals) < LEAST_BATCHES or arrivals[0].at == arrivals[-1].at:
            raise TooLittleHistory(
                f"{len(published)} published flushes and {len(arrivals)} batches of dataset {dataset!r} are too few",
                dataset=dataset,
                hint=f"let it run until there are {LEAST_FLUSHES} flushes and {LEAST_BATCHES} batches; more is better",
            )
        return cls(dataset, arrivals, sorted(published, key=lambda flush: flush.claimed_at))

    @property
    def seconds(self) -> float:
        """From the first arrival to the last."""
        return (self.arrivals[-1].at - self.arrivals[0].at).total_seconds()

    @property
    def bytes_per_second(self) -> float:
        """Arrow bytes, quiet times included."""
        return sum(arrival.bytes for arrival in self.arrivals) / self.seconds

    @property
    def bytes_per_row(self) -> float:
        """Arrow bytes."""
        return sum(arrival.bytes for arrival in self.arrivals) / max(sum(arrival.rows for arrival in self.arrivals), 1)

    @property
    def shrinkage(self) -> float:
        """Parquet bytes for one Arrow byte."""
        staged = sum(flush.volume.bytes for flush in self.flushes)
        return sum(flush.file_bytes for flush in self.flushes) / max(staged, 1)

    @property
    def files_per_flush(self) -> float:
        """One for each partition that a flush had rows for."""
        return sum(flush.files for flush in self.flushes) / len(self.flushes)

    @property
    def flush_seconds(self) -> float:
        """The 95th percentile of the flushes' durations, from claim to end."""
        took = sorted(flush.duration.total_seconds() for flush in self.flushes if flush.duration is not None)
        return max(took[math.ceil(0.95 * len(took)) - 1], 0.0) if took else 0.0

    @property
    def file_bytes(self) -> float:
        """Mean size of the files that were written."""
        return sum(flush.file_bytes for flush in self.flushes) / sum(flush.files for flush in self.flushes)

    def staged_for(self, file_bytes: float) -> float:
        """Arrow bytes that a flush must have staged for files of this size."""
        return file_bytes * self.files_per_flush / max(self.shrinkage, 1e-9)

    def file_of(self, staged: float) -> float:
        """The inverse of `staged_for`."""
        return staged * self.shrinkage / self.files_per_flush


@dataclass(frozen=True, slots=True)
class ReplayedFlush:
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


def replay(arrivals: Sequence[Arrival], thresholds: FlushThresholds, reaction: timedelta) -> Iterator[ReplayedFlush]:
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
        reached = ((self.rows, thresholds.max_rows), (self.bytes, thresholds.max_bytes))
        if thresholds.all_off or any(limit and amount >= limit for amount, limit in reached):
            self.due_at = arrival.at if self.due_at is None else min(self.due_at, arrival.at)

    def flushed(self, begins: datetime) -> ReplayedFlush:
        return ReplayedFlush(self.bytes, begins - (self.oldest or begins))


@dataclass(frozen=True, slots=True)
class Wish:
    """The goal: bytes of a Parquet file, and seconds from a receipt until the rows are readable."""

    file_bytes: float
    freshness: float
    reaction: float = REACTION
    guardrail: int = 0  # bytes on disk, 0 = off


@dataclass(frozen=True, slots=True)
class Proposal:
    """`now`, `then`: the same past under the thresholds in force, and under the proposed ones."""

    history: History
    wish: Wish
    in_force: FlushThresholds
    proposed: FlushThresholds
    now: Outlook
    then: Outlook
    conflicts: Sequence[str]

    @property
    def command(self) -> str:
        """The command that applies the proposal."""
        age = round(self.proposed.max_age.total_seconds() * 1000)
        limits = {"maxRows": self.proposed.max_rows, "maxBytes": self.proposed.max_bytes, "maxAgeMs": age}
        pairs = " ".join(f"staging.flush.{name}={value}" for name, value in limits.items())
        return f"timestore datasets set {self.history.dataset} {pairs}"

    def to_dict(self) -> dict[str, Any]:
        history = self.history
        figures = ("seconds", "bytes_per_second", "bytes_per_row", "shrinkage", "files_per_flush", "flush_seconds")
        return {
            "dataset": history.dataset,
            "history": {"batches": len(history.arrivals), "flushes": len(history.flushes)}
            | {name: getattr(history, name) for name in (*figures, "file_bytes")},
            "wanted": {"file_bytes": self.wish.file_bytes, "freshness_seconds": self.wish.freshness},
            "in_force": self.in_force.to_dict() | asdict(self.now),
            "proposed": self.proposed.to_dict() | asdict(self.then),
            "conflicts": list(self.conflicts),
            "command": self.command,
        }


def propose(history: History, wish: Wish, in_force: FlushThresholds) -> Proposal:
    """Pure: the same history and the same wish give the same advice."""
    proposed = _thresholds(history, wish)
    now, then = (outlook(history, thresholds, wish.reaction) for thresholds in (in_force, proposed))
    conflicts = list(_conflicts(history, wish, proposed, then))
    return Proposal(history, wish, in_force, proposed, now, then, conflicts)


def _thresholds(history: History, wish: Wish) -> FlushThresholds:
    size = history.staged_for(wish.file_bytes)
    if wish.guardrail:
        size = min(size, wish.guardrail * _BELOW_GUARDRAIL)
    rows = size / max(history.bytes_per_row, 1e-9) * _ROWS_MARGIN
    age = max(wish.freshness - wish.reaction - history.flush_seconds, _LEAST_AGE)
    return FlushThresholds(math.ceil(rows), math.ceil(size), timedelta(milliseconds=round(age * 1000)))


def _conflicts(history: History, wish: Wish, proposed: FlushThresholds, then: Outlook) -> Iterator[str]:
    overhead = wish.reaction + history.flush_seconds
    if wish.freshness < overhead + _LEAST_AGE:
        yield (
            f"no threshold gives {wish.freshness:g} s: until a flush begins takes up to {wish.reaction:g} s,"
            f" the flush itself {history.flush_seconds:.1f} s"
        )
    needed = history.staged_for(wish.file_bytes)
    if wish.guardrail and proposed.max_bytes < needed:
        yield f"the guardrail of {_mb(wish.guardrail)} does not let {_mb(needed)} be staged: files become smaller"
    if then.file_bytes is not None and then.file_bytes < wish.file_bytes * _SMALL:
        waits = _waiting(needed / history.bytes_per_second)
        yield (
            f"{wish.freshness:g} s make files small: {_mb(then.file_bytes)} instead of {_mb(wish.file_bytes)};"
            f" at {_mb(history.bytes_per_second * 60)} staged a minute, files of that size need {waits} of waiting"
        )


def _mb(amount: float) -> str:
    return f"{amount / 1e6:,.3g} MB"


def _waiting(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

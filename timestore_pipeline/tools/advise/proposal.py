"""Thresholds for files of a wanted size and rows of a wanted freshness, and where the two contradict each other.

Freshness has priority: an age is a promise to readers, a file's size is a convenience. The byte threshold sets the file
size when rows arrive fast; the row threshold is set so high that the byte threshold is reached first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from timestore_pipeline.model.limits import FlushThresholds
from timestore_pipeline.tools.advise.outlook import History, Outlook, outlook

REACTION = 15.0  # seconds from a dataset being due to its flush: the sensor's tick, up to 10 s, and the start of a run

_LEAST_AGE = 1.0  # seconds
_BELOW_GUARDRAIL = 0.8  # segments take more room than the rows in them
_ROWS_MARGIN = 1.25  # rows differ in size; the byte threshold must be reached first
_SMALL = 0.5  # of the wanted size: files below it count as small


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

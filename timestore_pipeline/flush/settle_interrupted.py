"""Settling interrupted claims without waiting for the next flush, a bounded amount of work at a time.

What cannot be settled now, because the lake does not answer, waits like any failed flush of its dataset: it is neither
asked by every call nor does it keep the others waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.flush.settle import Settlement, settle_interrupted
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.backlog import Backlog
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.flush_failures import retry_delay
from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class SettledFlushes:
    """What one call did."""

    settled: Sequence[Settlement]
    errors: Sequence[TimestoreError]  # each dataset's claim waits for its next try
    left: int  # interrupted claims for which it had no time


def settle_all_interrupted(area: StagingArea, lake: Lake, budget: timedelta) -> SettledFlushes:
    """Settle interrupted claims until `budget` is used up; one that was begun is finished."""
    deadline = clock.monotonic() + budget.total_seconds()
    settled: list[Settlement] = []
    errors: list[TimestoreError] = []
    due = [backlog.dataset for backlog in area.waiting() if _is_due(backlog)]
    while due and clock.monotonic() < deadline:
        try:
            settlement = settle_or_postpone(area, lake, due.pop(0))
        except TimestoreError as error:
            errors.append(error)
        else:
            settled += [settlement] if settlement is not None else []
    return SettledFlushes(settled, errors, len(due))


def settle_or_postpone(area: StagingArea, lake: Lake, dataset: str) -> Settlement | None:
    """Settle the dataset's claim if it was interrupted; raises what kept it from that, after counting a failure."""
    try:
        return settle_interrupted(area, lake, dataset)
    except TimestoreError:
        postpone(area, dataset)
        raise


def postpone(area: StagingArea, dataset: str) -> None:
    """Nothing could be done: without a pause the sensors would try at every tick."""
    failures = area.backlog(dataset).failures
    area.ledger.flush_failures.postpone(dataset, clock.now() + retry_delay(failures))


def _is_due(backlog: Backlog) -> bool:
    return backlog.interrupted and not backlog.backs_off(clock.now())

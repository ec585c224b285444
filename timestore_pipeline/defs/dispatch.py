"""Which due datasets go into which run. Pure: backlogs and busy datasets in, launches or a reason out.

A run costs seconds of CPU whatever it flushes, so due datasets share runs. The most urgent go first: a guardrail means
that producers are about to be rejected, then people who wait, then whoever's data has waited longest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import DatasetStatus

MOST_DATASETS = 50  # in one run: a failure or a termination then concerns few, and the op's log stays readable

_RANK = {Trigger.GUARDRAIL: 0, Trigger.MANUAL: 1}
_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)
_NAMED = 5  # datasets spelled out in a skip reason; an operator with hundreds looks at `timestore status`


@dataclass(frozen=True, slots=True)
class Launch:
    """One run: its datasets, most urgent first, each with its trigger."""

    flushes: tuple[tuple[str, Trigger], ...]

    @property
    def datasets(self) -> list[str]:
        return [dataset for dataset, _ in self.flushes]

    @property
    def trigger(self) -> Trigger:
        """The run's: that of its most urgent dataset."""
        return self.flushes[0][1]


def plan_launches(statuses: Sequence[DatasetStatus], busy: Mapping[str, str]) -> list[Launch]:
    """Runs for every due dataset that no run has already; `busy`: dataset -> run id."""
    due = [status for status in statuses if status.decision.due and status.backlog.dataset not in busy]
    flushes = [(status.backlog.dataset, _trigger(status)) for status in sorted(due, key=_urgency)]
    starts = range(0, len(flushes), MOST_DATASETS)
    return [Launch(tuple(flushes[start : start + MOST_DATASETS])) for start in starts]


def why_not(statuses: Sequence[DatasetStatus], busy: Mapping[str, str]) -> str:
    """Why nothing is launched, in an operator's words."""
    running = [
        f"{status.backlog.dataset} is in run {busy[status.backlog.dataset][:8]} already"
        for status in statuses
        if status.backlog.dataset in busy and (status.backlog.queued.batches or status.decision.due)
    ]
    waiting = [
        f"{status.backlog.dataset}: {status.decision.reason}"
        for status in statuses
        if status.backlog.dataset not in busy and status.backlog.queued.batches
    ]
    if not running and not waiting:
        return "nothing is staged"
    count = len(running) + len(waiting)
    return f"{count} dataset{'s wait' if count > 1 else ' waits'}: " + _shortened([*running, *waiting])


def _urgency(status: DatasetStatus) -> tuple[int, datetime]:
    return _RANK.get(_trigger(status), len(_RANK)), status.backlog.oldest_staged_at or _FAR_FUTURE


def _trigger(status: DatasetStatus) -> Trigger:
    assert status.decision.trigger is not None, "a due dataset has a trigger"
    return status.decision.trigger


def _shortened(parts: Sequence[str]) -> str:
    rest = len(parts) - _NAMED
    return "; ".join(parts[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")

"""Which due datasets go into which run. Pure: backlogs and busy datasets in, launches or a reason out.

A run costs seconds of CPU even for a small flush, so due datasets share runs, bounded in datasets and bytes. The most
urgent go first: datasets at a guardrail, whose producers are about to be rejected, then manual requests, then the
datasets whose oldest batch has waited longest.

No dataset starves another. A dataset with a large backlog, or whose flushes fail and may be searched for the bad batch,
would delay every dataset in its run. Such slow datasets share runs with each other only, and one such run is launched
at a time, so one of the two slots of the run queue is always free for the others. No more runs are launched than the
queue can take soon: the rest is ordered anew at the next tick.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.model.flush import Trigger

MOST_QUICK_RUNS = 3  # queued or running: two slots (dagster.yaml) stay busy until the next tick, whichever ends first
MOST_SLOW_RUNS = 1

_SLOW_SHARE = 4  # a backlog of more than a run's bytes divided by this is slow: by default twice the flush threshold

_RANK = {Trigger.GUARDRAIL: 0, Trigger.MANUAL: 1}
_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)
_NAMED = 5  # datasets spelled out in a skip reason; an operator with hundreds looks at `timestore status`


@dataclass(frozen=True, slots=True)
class RunBounds:
    """The most that one run takes, though never less than one dataset; bytes: pending Arrow data."""

    datasets: int
    bytes: int


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

    @property
    def priority(self) -> int:
        """Among the runs that wait in Dagster's queue; the highest goes first."""
        return len(_RANK) - _RANK.get(self.trigger, len(_RANK))


def plan_launches(statuses: Sequence[DatasetStatus], busy: Mapping[str, str], bounds: RunBounds) -> list[Launch]:
    """Runs for the due datasets that no run holds, as many as there is room for; `busy`: dataset -> run id."""
    due = sorted((s for s in statuses if s.decision.due and s.backlog.dataset not in busy), key=_urgency)
    slow_runs = {busy[s.backlog.dataset] for s in statuses if s.backlog.dataset in busy and _is_slow(s, bounds)}
    quick = list(_packed([status for status in due if not _is_slow(status, bounds)], bounds))
    slow = list(_packed([status for status in due if _is_slow(status, bounds)], bounds))
    room = MOST_QUICK_RUNS - len(set(busy.values()) - slow_runs)
    launches = [*quick[: _extended(room, quick)], *slow[: max(MOST_SLOW_RUNS - len(slow_runs), 0)]]
    return sorted(launches, key=lambda launch: -launch.priority)


def why_not(statuses: Sequence[DatasetStatus], busy: Mapping[str, str]) -> str:
    """Why nothing is launched, for an operator."""
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


def _packed(due: Sequence[DatasetStatus], bounds: RunBounds) -> Iterator[Launch]:
    """In the given order; a dataset that exceeds the bounds by itself has a run of its own."""
    flushes: list[tuple[str, Trigger]] = []
    size = 0
    for status in due:
        amount = status.backlog.queued.bytes
        if flushes and (len(flushes) == bounds.datasets or size + amount > bounds.bytes):
            yield Launch(tuple(flushes))
            flushes, size = [], 0
        flushes.append((status.backlog.dataset, _trigger(status)))
        size += amount
    if flushes:
        yield Launch(tuple(flushes))


def _is_slow(status: DatasetStatus, bounds: RunBounds) -> bool:
    return status.backlog.failures > 0 or status.backlog.queued.bytes > bounds.bytes // _SLOW_SHARE


def _extended(room: int, launches: Sequence[Launch]) -> int:
    """Urgent launches get one run more than there is room for."""
    return max(room, 0) + (1 if launches and launches[0].priority else 0)


def _urgency(status: DatasetStatus) -> tuple[int, datetime]:
    return _RANK.get(_trigger(status), len(_RANK)), status.backlog.oldest_staged_at or _FAR_FUTURE


def _trigger(status: DatasetStatus) -> Trigger:
    assert status.decision.trigger is not None, "a due dataset has a trigger"
    return status.decision.trigger


def _shortened(parts: Sequence[str]) -> str:
    rest = len(parts) - _NAMED
    return "; ".join(parts[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")

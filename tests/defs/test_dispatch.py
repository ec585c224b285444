"""Which due datasets share a run, in which order, and what the sensor says when it launches nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from timestore_pipeline.defs.dispatch import MOST_DATASETS, plan_launches, why_not
from timestore_pipeline.flush.decide import FlushDecision
from timestore_pipeline.model.backlog import Backlog
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.model.limits import FlushThresholds
from timestore_pipeline.wiring import DatasetStatus

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
THRESHOLDS = FlushThresholds(max_rows=100, max_bytes=0, max_age=timedelta(minutes=1))


def status(dataset: str, trigger: Trigger | None = None, *, waits: int = 0, reason: str = "because") -> DatasetStatus:
    """`trigger` None = not due; `waits`: seconds, 0 = nothing staged."""
    staged = NOON - timedelta(seconds=waits) if waits else None
    backlog = Backlog(dataset, Volume(1, 1, 1) if waits else Volume(), Volume(), Volume(), staged, staged, disk_bytes=0)
    return DatasetStatus(backlog, THRESHOLDS, FlushDecision(dataset, trigger is not None, reason, trigger))


def test_due_datasets_share_a_run() -> None:
    [launch] = plan_launches([status("a", Trigger.AGE, waits=1), status("b"), status("c", Trigger.ROWS, waits=2)], {})
    assert launch.flushes == (("c", Trigger.ROWS), ("a", Trigger.AGE))


def test_a_guardrail_goes_first_then_people_then_whatever_waited_longest() -> None:
    due = [
        status("young", Trigger.ROWS, waits=1),
        status("old", Trigger.AGE, waits=90),
        status("asked", Trigger.MANUAL, waits=2),
        status("full", Trigger.GUARDRAIL, waits=1),
    ]
    [launch] = plan_launches(due, {})
    assert launch.datasets == ["full", "asked", "old", "young"]


def test_a_run_carries_the_trigger_of_its_most_urgent_dataset() -> None:
    [launch] = plan_launches([status("a", Trigger.AGE, waits=9), status("b", Trigger.MANUAL, waits=1)], {})
    assert launch.trigger is Trigger.MANUAL


def test_many_datasets_are_split_into_runs_with_the_most_urgent_in_the_first() -> None:
    due = [status(f"d{number:03}", Trigger.AGE, waits=number + 1) for number in range(2 * MOST_DATASETS + 1)]
    launches = plan_launches(due, {})
    assert [len(launch.datasets) for launch in launches] == [MOST_DATASETS, MOST_DATASETS, 1]
    assert launches[0].datasets[0] == f"d{2 * MOST_DATASETS:03}"


def test_a_dataset_that_a_run_has_in_hand_is_not_launched_again() -> None:
    statuses = [status("a", Trigger.AGE, waits=1), status("b", Trigger.AGE, waits=1)]
    [launch] = plan_launches(statuses, {"a": "run"})
    assert launch.datasets == ["b"]


def test_nothing_staged_is_said_so() -> None:
    assert why_not([status("a"), status("b")], {}) == "nothing is staged"
    assert why_not([], {}) == "nothing is staged"


def test_waiting_datasets_are_listed_with_their_reasons() -> None:
    statuses = [status("a", waits=1, reason="below every threshold: 1 of 100 rows"), status("b"), status("c", waits=1)]
    assert why_not(statuses, {}) == "2 datasets wait: a: below every threshold: 1 of 100 rows; c: because"


def test_a_dataset_in_a_run_is_listed_with_its_run() -> None:
    reason = why_not([status("a", Trigger.AGE, waits=1)], {"a": "0123456789abcdef"})
    assert reason == "1 dataset waits: a is in run 01234567 already"


def test_only_a_handful_of_reasons_is_spelled_out() -> None:
    reason = why_not([status(f"d{number}", waits=1) for number in range(8)], {})
    assert reason.startswith("8 datasets wait: d0: because; ")
    assert reason.endswith("d4: because; and 3 more")

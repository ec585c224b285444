"""Which due datasets share a run, in which order, and what the sensor says when it launches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from timestore_pipeline.defs.dispatch import MOST_QUICK_RUNS, Launch, RunBounds, plan_launches, why_not
from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.flush.decide import FlushDecision
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Backlog, Trigger
from timestore_pipeline.model.thresholds import FlushSettings, FlushThresholds

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
SETTINGS = FlushSettings(FlushThresholds(max_rows=100, max_bytes=0, max_age=timedelta(minutes=1)))
BOUNDS = RunBounds(datasets=10, bytes=1_000)
FLOOD = 10_000  # bytes


def status(
    dataset: str,
    trigger: Trigger | None = None,
    *,
    waits: int = 0,
    reason: str = "because",
    size: int = 1,
    failures: int = 0,
) -> DatasetStatus:
    """`trigger` None = not due; `waits`: seconds, 0 = nothing staged; `size`: bytes."""
    staged = NOON - timedelta(seconds=waits) if waits else None
    pending = Volume(1, 1, size) if waits else Volume()
    backlog = Backlog(dataset, pending, Volume(), Volume(), staged, staged, disk_bytes=0, failures=failures)
    return DatasetStatus(backlog, SETTINGS, FlushDecision(dataset, trigger is not None, reason, trigger))


def aged(count: int, prefix: str = "d", *, size: int = 1, failures: int = 0) -> list[DatasetStatus]:
    """Due by age, the last of them waits longest."""
    names = [f"{prefix}{number:03}" for number in range(count)]
    return [status(d, Trigger.AGE, waits=n + 1, size=size, failures=failures) for n, d in enumerate(names)]


def plan(statuses: Sequence[DatasetStatus], busy: Mapping[str, str] | None = None) -> list[Launch]:
    return plan_launches(statuses, busy or {}, BOUNDS)


def names(launches: Sequence[Launch]) -> list[list[str]]:
    return [launch.datasets for launch in launches]


def test_due_datasets_share_a_run() -> None:
    [launch] = plan([status("a", Trigger.AGE, waits=1), status("b"), status("c", Trigger.ROWS, waits=2)])
    assert launch.flushes == (("c", Trigger.ROWS), ("a", Trigger.AGE))


def test_a_guardrail_goes_first_then_people_then_whatever_waited_longest() -> None:
    due = [
        status("young", Trigger.ROWS, waits=1),
        status("old", Trigger.AGE, waits=90),
        status("asked", Trigger.MANUAL, waits=2),
        status("full", Trigger.GUARDRAIL, waits=1),
    ]
    [launch] = plan(due)
    assert launch.datasets == ["full", "asked", "old", "young"]


def test_a_run_carries_the_trigger_of_its_most_urgent_dataset() -> None:
    [launch] = plan([status("a", Trigger.AGE, waits=9), status("b", Trigger.MANUAL, waits=1)])
    assert launch.trigger is Trigger.MANUAL


def test_an_urgent_run_passes_those_that_wait_in_the_queue() -> None:
    full, asked, old = (
        plan([status("a", trigger, waits=1)])[0] for trigger in (Trigger.GUARDRAIL, Trigger.MANUAL, Trigger.AGE)
    )
    assert full.priority > asked.priority > old.priority == 0


def test_many_datasets_are_split_into_runs_with_the_most_urgent_in_the_first() -> None:
    launches = plan(aged(2 * BOUNDS.datasets + 1))
    assert [len(launch.datasets) for launch in launches] == [BOUNDS.datasets, BOUNDS.datasets, 1]
    assert launches[0].datasets[0] == f"d{2 * BOUNDS.datasets:03}"


def test_a_run_is_bounded_in_bytes() -> None:
    launches = plan(aged(9, size=BOUNDS.bytes // 4))
    assert [len(launch.datasets) for launch in launches] == [4, 4, 1]


def test_a_dataset_beyond_the_bounds_has_a_run_of_its_own() -> None:
    assert names(plan([status("flood", Trigger.ROWS, waits=9, size=FLOOD), *aged(2)])) == [["d001", "d000"], ["flood"]]


def test_no_more_runs_wait_than_the_queue_can_take_soon() -> None:
    due = aged(9 * BOUNDS.datasets)
    assert len(plan(due)) == MOST_QUICK_RUNS
    assert len(plan(due, {"d000": "run 1", "d001": "run 1", "d002": "run 2"})) == MOST_QUICK_RUNS - 2


def test_what_cannot_wait_gets_a_run_more_than_there_is_room_for() -> None:
    busy = {f"d{number:03}": f"run {number}" for number in range(MOST_QUICK_RUNS)}
    due = [*aged(99), status("full", Trigger.GUARDRAIL, waits=1)]
    [launch] = plan(due, busy)
    assert (launch.datasets[0], len(launch.datasets)) == ("full", BOUNDS.datasets)


def test_flooded_datasets_leave_a_slot_to_the_others() -> None:
    floods = [status(f"flood{n}", Trigger.GUARDRAIL, waits=1 + n, size=FLOOD) for n in range(5)]
    assert names(plan([*floods, *aged(1)])) == [["flood4"], ["d000"]]
    assert names(plan([*floods, *aged(1)], {"flood4": "run"})) == [["d000"]]


def test_flooded_datasets_take_turns() -> None:
    def longest_first(waits: dict[str, int]) -> str:
        due = [status(name, Trigger.GUARDRAIL, waits=seconds, size=FLOOD) for name, seconds in waits.items()]
        return plan(due)[0].datasets[0]

    assert longest_first({"a": 60, "b": 50}) == "a"
    assert longest_first({"a": 1, "b": 55}) == "b"


def test_a_dataset_whose_flushes_fail_does_not_hold_up_those_that_work() -> None:
    due = [*aged(2), *aged(3, "bad", failures=1)]
    assert names(plan(due)) == [["d001", "d000"], ["bad002", "bad001", "bad000"]]
    assert names(plan(due, {"bad000": "run"})) == [["d001", "d000"]]


def test_every_due_dataset_gets_its_turn_whatever_the_flood_does() -> None:
    """Ticks in which every run ends before the next: the flood is due again at each."""
    waiting = {s.backlog.dataset: s for s in aged(120)}
    for _ in range(-(-120 // (MOST_QUICK_RUNS * BOUNDS.datasets))):
        floods = [status(f"flood{n}", Trigger.GUARDRAIL, waits=999, size=FLOOD) for n in range(20)]
        for launch in plan([*floods, *waiting.values()]):
            for dataset in launch.datasets:
                waiting.pop(dataset, None)
    assert not waiting


def test_a_dataset_that_a_run_has_in_hand_is_not_launched_again() -> None:
    statuses = [status("a", Trigger.AGE, waits=1), status("b", Trigger.AGE, waits=1)]
    [launch] = plan(statuses, {"a": "run"})
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

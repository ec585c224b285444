"""The flush decision: every rule, and properties that hold for any backlog."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.flush.decide import FlushLimits, decide_flush
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Backlog, Trigger
from timestore_pipeline.model.thresholds import FlushThresholds

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
THRESHOLDS = FlushThresholds(max_rows=1_000, max_bytes=50_000, max_age=timedelta(seconds=60))
LIMITS = FlushLimits(THRESHOLDS, dataset_bytes=100_000)
QUIET = Backlog(
    dataset="weather",
    pending=Volume(batches=2, rows=10, bytes=100),
    in_flight=Volume(),
    quarantined=Volume(),
    oldest_pending_at=NOW - timedelta(seconds=5),
    oldest_staged_at=NOW - timedelta(seconds=5),
    disk_bytes=45_000,
)


@pytest.mark.parametrize(
    ("changes", "trigger", "said"),
    [
        ({"pending": Volume(2, 1_000, 100)}, Trigger.ROWS, "1,000 rows reach the threshold of 1,000"),
        ({"pending": Volume(2, 10, 50_000)}, Trigger.BYTES, "50,000 bytes reach the threshold of 50,000"),
        ({"oldest_pending_at": NOW - timedelta(seconds=60)}, Trigger.AGE, "waits for 60.0 s, the limit is 60.0 s"),
        ({"disk_bytes": 100_000}, Trigger.GUARDRAIL, "guardrail of 100,000"),
        ({"manual_requested_at": NOW}, Trigger.MANUAL, "an operator asked"),
        ({"manual_requested_at": NOW, "paused": True}, Trigger.MANUAL, "an operator asked"),
        ({"claim_trigger": Trigger.ROWS}, Trigger.ROWS, "is gone; the next flush settles"),
    ],
)
def test_each_rule_makes_a_dataset_due_with_its_trigger_and_reason(
    changes: dict[str, object], trigger: Trigger, said: str
) -> None:
    decision = decide_flush(replace(QUIET, **changes), LIMITS, NOW)  # type: ignore[arg-type]
    assert (decision.due, decision.trigger) == (True, trigger)
    assert said in decision.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "below every threshold: 10 of 1,000 rows, 100 of 50,000 bytes, due by age at 12:00:55 UTC"),
        ({"pending": Volume(), "oldest_pending_at": None}, "nothing is staged"),
        ({"paused": True, "pending": Volume(2, 9_999, 100)}, "paused"),
        ({"retry_at": NOW + timedelta(seconds=30), "failures": 3, "disk_bytes": 10**9}, "failures in a row: 3"),
        (
            {"claim_trigger": Trigger.AGE, "claim_owner_alive": True, "in_flight": Volume(1, 7, 1)},
            "7 rows is in flight",
        ),
    ],
)
def test_what_holds_a_dataset_back_is_said(changes: dict[str, object], said: str) -> None:
    decision = decide_flush(replace(QUIET, **changes), LIMITS, NOW)  # type: ignore[arg-type]
    assert not decision.due
    assert said in decision.reason


def test_the_total_guardrail_makes_every_staged_dataset_due() -> None:
    decision = decide_flush(QUIET, replace(LIMITS, pressure="the disk is full"), NOW)
    assert decision.trigger is Trigger.GUARDRAIL


def test_all_thresholds_off_means_whatever_is_staged_is_due() -> None:
    off = FlushLimits(FlushThresholds(0, 0, timedelta(0)))
    assert decide_flush(QUIET, off, NOW).due
    assert not decide_flush(replace(QUIET, pending=Volume()), off, NOW).due


def test_one_threshold_off_leaves_the_others_in_force() -> None:
    no_age = FlushLimits(replace(THRESHOLDS, max_age=timedelta(0)))
    old = replace(QUIET, oldest_pending_at=NOW - timedelta(days=1))
    decision = decide_flush(old, no_age, NOW)
    assert not decision.due
    assert decision.due_at is None


def test_a_batch_from_the_future_is_due_at_once_because_its_age_cannot_be_told() -> None:
    decision = decide_flush(replace(QUIET, oldest_pending_at=NOW + timedelta(days=1)), LIMITS, NOW)
    assert (decision.due, decision.trigger) == (True, Trigger.AGE)
    assert "the clock was set back" in decision.reason


def test_one_batch_from_the_future_among_others_is_enough() -> None:
    assert decide_flush(replace(QUIET, newest_pending_at=NOW + timedelta(days=1)), LIMITS, NOW).due


def test_a_few_seconds_ahead_are_no_set_clock() -> None:
    ahead = NOW + timedelta(seconds=4)
    assert not decide_flush(replace(QUIET, oldest_pending_at=ahead, newest_pending_at=ahead), LIMITS, NOW).due


def test_a_pause_farther_away_than_any_backoff_has_expired() -> None:
    due = replace(QUIET, pending=Volume(1, 5_000, 10), failures=3)
    assert not decide_flush(replace(due, retry_at=NOW + timedelta(minutes=5)), LIMITS, NOW).due
    assert decide_flush(replace(due, retry_at=NOW + timedelta(minutes=6)), LIMITS, NOW).due


volumes = st.builds(Volume, st.integers(0, 100), st.integers(0, 2_000), st.integers(0, 100_000))
instants = st.datetimes(datetime(2026, 11, 22, 11), datetime(2026, 11, 22, 13)).map(lambda t: t.replace(tzinfo=UTC))
backlogs = st.builds(
    Backlog,
    dataset=st.just("weather"),
    pending=volumes,
    in_flight=volumes,
    quarantined=volumes,
    oldest_pending_at=st.none() | instants,
    oldest_staged_at=st.none() | instants,
    disk_bytes=st.integers(0, 200_000),
    paused=st.booleans(),
    manual_requested_at=st.none() | instants,
    retry_at=st.none() | instants,
    failures=st.integers(0, 5),
    claim_trigger=st.none() | st.sampled_from(Trigger),
    claim_owner_alive=st.booleans(),
)


@given(backlogs)
def test_a_decision_is_due_exactly_when_it_names_a_trigger_and_always_says_why(backlog: Backlog) -> None:
    decision = decide_flush(backlog, LIMITS, NOW)
    assert decision.due == (decision.trigger is not None)
    assert decision.reason


@given(backlogs)
def test_a_dataset_without_work_is_never_due(backlog: Backlog) -> None:
    idle = replace(backlog, pending=Volume(), claim_trigger=None)
    assert not decide_flush(idle, LIMITS, NOW).due


@given(backlogs)
def test_a_flush_that_is_worked_on_is_never_doubled(backlog: Backlog) -> None:
    busy = replace(backlog, claim_trigger=Trigger.ROWS, claim_owner_alive=True)
    assert not decide_flush(busy, LIMITS, NOW).due


@given(backlogs, st.integers(0, 5_000))
def test_more_rows_never_make_a_due_dataset_wait(backlog: Backlog, more: int) -> None:
    larger = replace(backlog, pending=backlog.pending + Volume(1, more, 0))
    assert decide_flush(larger, LIMITS, NOW).due >= decide_flush(backlog, LIMITS, NOW).due


@given(backlogs)
def test_a_dataset_becomes_due_when_its_due_time_has_come(backlog: Backlog) -> None:
    decision = decide_flush(backlog, LIMITS, NOW)
    if decision.due_at is not None and not decision.due and backlog.retry_at is None:
        assert decide_flush(backlog, LIMITS, decision.due_at).due

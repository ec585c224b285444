"""Every dataset gets its turn, trouble comes first, and only news are stored."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import dagster as dg
import pytest

from tests.defs.flushing import hourly
from tests.defs.sharing import FINE, LATE, WARNED, store, stored_now
from timestore_pipeline import StagingManager
from timestore_pipeline.defs import watch_tick
from timestore_pipeline.defs.checks import Verdict
from timestore_pipeline.defs.watch_tick import WatchState, check_round, turn
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def test_turns_go_through_the_alphabet_and_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_tick, "PER_ROUND", 2)
    names = ["a", "b", "c"]
    assert [turn(names, after) for after in ("", "b", "c", "bb")] == [["a", "b"], ["c"], ["a", "b"], ["c"]]
    assert turn([], "b") == []


def test_a_thousand_datasets_take_twenty_ticks() -> None:
    names = [f"d{number:03}" for number in range(1_000)]
    after, ticks = "", 0
    while after != names[-1]:
        after, ticks = turn(names, after)[-1], ticks + 1
    assert ticks == 20


def test_a_dataset_in_trouble_is_checked_out_of_turn(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_tick, "PER_ROUND", 1)
    for dataset, age in (("a", timedelta(hours=1)), ("b", timedelta(hours=1)), ("late", timedelta(seconds=1))):
        timestore.set_metadata(dataset, {"staging": {"flush": {"maxAgeMs": age // timedelta(milliseconds=1)}}})
        staging.enqueue(dataset, hourly(1))
    verdicts, state = check_round(timestore, timestore.statuses(), clock.now() + timedelta(minutes=5), WatchState())
    assert {verdict.dataset for verdict in verdicts} == {"a", "late"}
    assert (state.after, state.failing) == ("a", ("late",))


def test_what_failed_before_is_looked_at_again_at_once(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_tick, "PER_ROUND", 1)
    for dataset in ("a", "b", "recovered"):
        staging.enqueue(dataset, hourly(1))
    state = WatchState(failing=("recovered", "deleted"))
    verdicts, state = check_round(timestore, timestore.statuses(), clock.now(), state)
    assert {verdict.dataset for verdict in verdicts} == {"a", "recovered"}
    assert state.failing == ()


def test_a_tick_without_time_does_one_dataset_and_goes_on_there(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_tick, "_TIME_TO_COUNT", -1.0)
    for dataset in ("a", "b"):
        staging.enqueue(dataset, hourly(1))
    _, first = check_round(timestore, timestore.statuses(), clock.now(), WatchState())
    _, second = check_round(timestore, timestore.statuses(), clock.now(), first)
    assert (first.after, second.after) == ("a", "b")


def test_books_that_do_not_balance_are_found(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("weather", hourly(3))
    with sqlite3.connect(timestore.area.directory.ledger) as vandal:
        vandal.execute("UPDATE volumes SET rows = rows + 1 WHERE state = 'pending'")
    vandal.close()
    verdicts, _ = check_round(timestore, timestore.statuses(), clock.now(), WatchState())
    assert [verdict.check for verdict in verdicts if not verdict.passed] == ["books_balance"]


@pytest.mark.parametrize(
    ("last", "verdict", "stored"),
    [(None, FINE, True), (FINE, FINE, False), (FINE, LATE, True), (LATE, FINE, True), (WARNED, LATE, True)],
)
def test_only_news_are_stored(
    instance: dg.DagsterInstance, last: Verdict | None, verdict: Verdict, stored: bool
) -> None:
    if last is not None:
        store(instance, last)
    assert bool(stored_now(instance, verdict, clock.now())) is stored


def test_an_old_verdict_is_given_again(instance: dg.DagsterInstance) -> None:
    store(instance, FINE)
    assert stored_now(instance, FINE, clock.now() + timedelta(hours=23)) == []
    assert stored_now(instance, FINE, clock.now() + timedelta(hours=25)) == ["fine"]


def test_an_evaluation_that_a_flush_would_grey_is_given_again(instance: dg.DagsterInstance) -> None:
    """Such as one that was reported by hand."""
    instance.report_runless_asset_event(dg.AssetCheckEvaluation(FINE.key.asset_key, FINE.check, FINE.passed))
    assert stored_now(instance, FINE, clock.now()) == ["fine"]

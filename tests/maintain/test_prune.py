"""Entries of log and ledger past their retention are deleted, and none that is still needed."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.maintain.small_files import AT_ONCE, books, content, maintained, publish, rows
from tests.staging.rolled import roll_up_all
from timestore_pipeline.lake import handle
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore, rebuild_if_lost


@pytest.fixture(autouse=True)
def _often_checkpointed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "CHECKPOINT_EVERY", 2)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty days have passed since everything so far."""
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=40))


def commits(store: Timestore) -> list[Path]:
    return sorted((Path(store.lake.table("weather").uri) / "_delta_log").glob("*.json"))


def test_old_commits_go_and_every_row_is_still_proven(fragmented: Timestore, later: None) -> None:
    before = content(fragmented)
    done = maintained(fragmented)
    assert (done.errors, done.log_commits, done.log_waits_for) == ([], 8, [])
    assert commits(fragmented)[0].name == f"{8:020}.json"
    assert content(fragmented) == before
    assert books(fragmented) == ([], ["log_trimmed"])


def test_a_dry_run_counts_the_commits_and_keeps_them(fragmented: Timestore, later: None) -> None:
    before = commits(fragmented)
    assert maintained(fragmented, dry_run=True).log_commits == 6
    assert commits(fragmented) == before


def test_young_commits_stay(fragmented: Timestore) -> None:
    assert maintained(fragmented, retention=AT_ONCE).log_commits == 0


def test_flushes_and_maintenance_go_on_with_a_trimmed_log(fragmented: Timestore, later: None) -> None:
    maintained(fragmented)
    for number in range(6, 12):
        publish(fragmented, number)
    assert maintained(fragmented, retention=AT_ONCE).files_after == 2
    assert len(content(fragmented)) == 120
    assert books(fragmented) == ([], ["log_trimmed"])


def test_rows_that_are_gone_are_found_without_the_commits(fragmented: Timestore, later: None) -> None:
    maintained(fragmented)
    _alter(fragmented, "UPDATE flushes SET rows = rows + 1 WHERE epoch = 6")
    problems, _ = books(fragmented)
    assert "flush_not_traced" in problems


@pytest.mark.parametrize("more", [1, -1])
def test_rows_of_folded_flushes_are_counted_in_the_tables_files(fragmented: Timestore, later: None, more: int) -> None:
    assert maintained(fragmented).folded_flushes == 5
    assert books(fragmented) == ([], ["log_trimmed"])
    _alter(fragmented, f"UPDATE flush_stretches SET rows = rows + {more}")
    [audit] = verify(fragmented.area, fragmented.lake, ["weather"]).datasets
    found = {problem.code: problem.message for problem in audit.problems}
    assert found["flush_not_traced"] == f"epochs 1 to 5 published {50 + more} rows, the table's files hold 50 of them"


def test_rows_of_folded_flushes_are_counted_while_the_log_is_whole(fragmented: Timestore, later: None) -> None:
    fragmented.area.ledger.flush_stretches.fold("weather", clock.now())
    assert books(fragmented) == ([], [])
    _alter(fragmented, "UPDATE flush_stretches SET rows = rows + 1")
    assert "flush_not_traced" in books(fragmented)[0]


def test_young_flushes_stay(fragmented: Timestore) -> None:
    assert maintained(fragmented).folded_flushes == 0


def test_a_table_that_is_gone_is_missed_by_folded_flushes_too(fragmented: Timestore, later: None) -> None:
    maintained(fragmented)
    shutil.rmtree(fragmented.lake.table("weather").uri)
    [audit] = verify(fragmented.area, fragmented.lake, ["weather"]).datasets
    assert ("missing_table", "60 rows were published, but there is no table") in [
        (problem.code, problem.message) for problem in audit.problems
    ]


def test_recover_enters_no_folded_flush_again(fragmented: Timestore, later: None) -> None:
    fragmented.area.ledger.flush_stretches.fold("weather", clock.now())
    assert recover(fragmented.area, fragmented.lake).reconciled.published == []
    assert books(fragmented) == ([], [])


def test_rows_of_a_flush_that_was_aborted_are_found(fragmented: Timestore, later: None) -> None:
    maintained(fragmented)
    _alter(fragmented, "UPDATE flushes SET state = 'aborted' WHERE epoch = 6")
    assert "unknown_rows" in books(fragmented)[0]


def test_commits_stay_as_long_as_a_segment_is_older(fragmented: Timestore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold published batches as well, which a rebuilt ledger would take for owed without their commits."""
    with fragmented.staging() as staging:
        staging.enqueue("weather", rows(6))
        roll_up_all(fragmented.area)
        _alter(fragmented, "UPDATE segments SET created_at = created_at - 3600000000")  # begun before the first flush
        now = clock.now
        monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=40))
        assert maintained(fragmented).log_commits == 0


def test_commits_stay_as_long_as_a_journal_is_older(store: Timestore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold published batches as well, as long as anything is owed from it, be it another dataset's."""
    with store.staging() as staging:
        staging.enqueue("slow", rows(0))
        for number in range(6):
            staging.enqueue("weather", rows(number))
            store.flush("weather", Trigger.MANUAL, "test")
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=40))
    assert maintained(store).log_commits == 0
    store.flush("slow", Trigger.MANUAL, "test")
    assert maintained(store).log_commits > 0


def test_a_ledger_that_is_lost_afterwards_is_rebuilt_without_a_row_twice(settings: Settings, later: None) -> None:
    with Timestore(settings) as store:
        for number in range(6):
            publish(store, number)
        assert maintained(store, retention=AT_ONCE).log_commits > 0
        with store.staging() as staging:
            staging.enqueue("weather", rows(6))
    (settings.staging_directory / "ledger.sqlite").unlink()
    assert rebuild_if_lost(settings) is not None
    with Timestore(settings) as store:
        publish(store, 7)
        assert len(content(store)) == 80
        assert books(store) == ([], ["log_trimmed"])


def test_the_log_waits_for_every_shard_that_published(
    fragmented: Timestore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = settings.model_copy(update={"staging_directory": settings.home / "other", "shard": "other"})
    with Timestore(theirs) as other:
        publish(other, 7)
        publish(other, 8)
        now = clock.now
        monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=40))
        first = maintained(fragmented)
        assert (first.log_commits, first.log_waits_for) == (0, ["other"])
        assert maintained(other).log_commits > 0
        assert (books(other), books(fragmented)) == (([], ["log_trimmed"]), ([], ["log_trimmed"]))


def test_the_ledger_forgets_keys_and_statistics_and_keeps_the_books(fragmented: Timestore, later: None) -> None:
    done = maintained(fragmented)
    assert (done.forgotten_batches, done.forgotten_statistics) == (6, 12)
    assert verify(fragmented.area, fragmented.lake, ["weather"]).datasets[0].published_rows == 60
    again = maintained(fragmented)
    assert (again.forgotten_batches, again.forgotten_statistics) == (0, 0)


def _alter(store: Timestore, statement: str) -> None:
    with store.area.ledger.database.transaction() as tx:
        assert tx.execute(statement).rowcount > 0

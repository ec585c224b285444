"""A ledger from a backup lists a journal that has grown since: its newer batches become pending."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.recovery.rebuild.conftest import (
    backup,
    flush,
    in_lake,
    numbers,
    problems,
    recovered,
    restore,
    stage,
    stage_in_segment,
)
from tests.recovery.rebuild.dying import learn_and_die, recover_and_end
from tests.services.forked import run_forked
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import RetryLater, ShardConflict
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.staging.ledger.log_import import LogImport
from timestore_pipeline.staging.ledger.segment_import import SegmentImport
from timestore_pipeline.staging.quarantine import set_aside_if_damaged
from timestore_pipeline.wiring import Timestore, reconcile_restored


@pytest.fixture
def grown(settings: Settings, tmp_path: Path) -> Path:
    """A backup made while a journal was open that has grown since: 20 rows are in it, the backup knows 10."""
    copy = tmp_path / "backup.sqlite"
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", numbers(0), idempotency_key="k0")
        backup_beside_writers(settings, copy)
        staging.enqueue("d", numbers(10), idempotency_key="k10")
    return copy


def backup_beside_writers(settings: Settings, target: Path) -> None:
    with Timestore(settings) as store:
        store.area.ledger.database.rows(f"VACUUM INTO '{target}'")


def restored(settings: Settings, copy: Path) -> None:
    for log in settings.staging_directory.glob("ledger.sqlite-*"):
        log.unlink()
    restore(settings, copy)


def test_nothing_shows_it_and_the_operators_word_finds_the_batches(settings: Settings, grown: Path) -> None:
    restored(settings, grown)
    assert recovered(settings).reconciled.pending == 0
    found = reconcile_restored(settings)
    assert (found.pending, len(found.journals)) == (1, 1)
    recovered(settings)
    flush(settings)
    assert in_lake(settings) == list(range(20))
    assert problems(settings) == []


def test_an_unknown_journal_of_any_dataset_shows_it(settings: Settings, grown: Path) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("other", numbers(100))
    restored(settings, grown)
    assert recovered(settings).reconciled.pending == 2
    flush(settings)
    assert in_lake(settings) == list(range(20))
    assert problems(settings) == []


def test_a_log_that_is_ahead_shows_it(settings: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "backup.sqlite"
    with StagingManager.open(settings) as staging, StagingManager.open(settings) as slow:
        slow.enqueue("slow", numbers(0))
        staging.enqueue("d", numbers(0))
        backup_beside_writers(settings, copy)
        flush(settings)
        slow.enqueue("slow", numbers(10))
    restored(settings, copy)
    found = recovered(settings).reconciled
    assert ([ref.dataset for ref in found.published], found.pending) == (["d"], 1)
    assert problems(settings) == []
    with Timestore(settings) as store:
        assert store.status("slow").backlog.pending.rows == 20


def test_batches_that_were_copied_out_of_a_damaged_segment_since_are_found_in_the_copy(
    settings: Settings, tmp_path: Path
) -> None:
    copy = tmp_path / "backup.sqlite"
    stage_in_segment(settings, 0, 10)
    backup(settings, copy)
    with Timestore(settings) as store:
        [segment] = store.area.ledger.segments.of_dataset("d")
        assert set_aside_if_damaged(store.area, segment, unusable="for the test") is not None
    restored(settings, copy)
    recovered(settings)
    assert problems(settings) == []
    flush(settings)
    assert in_lake(settings) == list(range(20))
    assert problems(settings) == []


def test_a_burnt_epoch_that_the_backup_does_not_know_is_counted(settings: Settings, grown: Path) -> None:
    with Timestore(settings) as store:
        claim = store.pipeline.claim("d", Trigger.MANUAL, "run")
        assert claim.ref is not None
        store.pipeline.export(claim.ref, store.export_options())
        store.area.held_claims.close()
    recovered(settings)
    restored(settings, grown)
    with Timestore(settings) as store, pytest.raises(ShardConflict, match="epoch 1") as refused:
        store.flush("d", Trigger.MANUAL, "run")
    assert "--restored" in refused.value.hint
    reconcile_restored(settings)
    flush(settings)
    assert in_lake(settings) == list(range(20))


def test_it_is_refused_while_another_process_lives(settings: Settings, grown: Path) -> None:
    with Timestore(settings), pytest.raises(RetryLater, match="1 living processes"):
        reconcile_restored(settings)


def test_a_living_writers_journal_is_left_to_him(settings: Settings, grown: Path) -> None:
    stage(settings, 20)
    restored(settings, grown)
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", numbers(30))
        found = recovered(settings).reconciled
        assert (found.pending, found.unadopted) == (2, [])
    flush(settings)
    assert in_lake(settings) == list(range(40))


def test_reconciling_twice_changes_nothing(settings: Settings, grown: Path) -> None:
    restored(settings, grown)
    reconcile_restored(settings)
    assert not reconcile_restored(settings).has_changes


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("owner", "step"),
    [(SegmentImport, "segment"), (SegmentImport, "aside"), (LogImport, "describe"), (LogImport, "raise_epoch")],
)
def test_a_killed_reconciliation_is_run_again(
    settings: Settings, grown: Path, owner: type, step: str, moment: str
) -> None:
    with Timestore(settings) as store:  # leaves a burnt epoch and a file in quarantine
        claim = store.pipeline.claim("d", Trigger.MANUAL, "run")
        assert claim.ref is not None
        store.pipeline.export(claim.ref, store.export_options())
        store.area.held_claims.close()
    recovered(settings)
    stage_in_segment(settings, 20)
    with Timestore(settings) as store:
        segment = store.area.ledger.segments.of_dataset("d")[-1]
        set_aside_if_damaged(store.area, segment, unusable="for the test")
    restored(settings, grown)
    assert run_forked(learn_and_die, settings.home, owner, step, moment) == -signal.SIGKILL
    reconcile_restored(settings)
    recovered(settings)
    flush(settings)
    assert in_lake(settings) == list(range(30))
    assert problems(settings) == []


def test_two_that_recover_at_once_enter_everything_once(settings: Settings, grown: Path) -> None:
    stage(settings, 20)
    restored(settings, grown)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: run_forked(recover_and_end, settings.home), range(2))) == [0, 0]
    assert problems(settings) == []
    flush(settings)
    assert in_lake(settings) == list(range(30))
    assert problems(settings) == []

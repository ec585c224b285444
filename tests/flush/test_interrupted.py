"""A flush whose process is killed at any point: the next flush settles it, and every row is published exactly once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.flush.conftest import hourly, published
from tests.flush.dying import carry_on_dying, flush_dying, recover_dying
from tests.services.forked import run_forked, script
from tests.staging.rolled import roll_up_in
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import FlushRef, FlushState, Trigger
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.wiring import Timestore


def flush_and_die(settings: Settings, point: str, moment: str) -> None:
    """Flush in another process that kills itself; assert that it really died there."""
    code = run_forked(flush_dying, settings.home, point, moment, "d")
    assert code == -signal.SIGKILL, f"the fault at {point!r} did not fire"


def stage(settings: Settings, first: int) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(30, first))
        staging.enqueue("d", hourly(30, first + 30))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", ["claim", "file", "record export", "delta commit", "finalize", "forget journals"])
def test_rows_are_exact_after_a_kill_and_the_next_flush(settings: Settings, point: str, moment: str) -> None:
    stage(settings, 0)
    flush_and_die(settings, point, moment)
    stage(settings, 60)
    with Timestore(settings) as timestore:
        timestore.flush("d", Trigger.MANUAL, "next")
        assert published(timestore) == list(range(120))
        assert timestore.area.ledger.flushes.in_flight() == []
        assert timestore.status("d").backlog.queued.batches == 0
        assert timestore.area.ledger.segments.of_dataset("d") == []
        assert timestore.area.ledger.journals.all() == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_rows_of_a_segment_are_exact_after_a_kill_at_its_removal_and_the_next_flush(
    settings: Settings, moment: str
) -> None:
    stage(settings, 0)
    roll_up_in(settings)
    flush_and_die(settings, "unlink", moment)
    stage(settings, 60)
    with Timestore(settings) as timestore:
        timestore.flush("d", Trigger.MANUAL, "next")
        assert published(timestore) == list(range(120))
        assert timestore.area.ledger.segments.of_dataset("d") == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_process_of_the_next_op_may_be_killed_as_it_takes_the_claim(settings: Settings, moment: str) -> None:
    stage(settings, 0)
    flush_and_die(settings, "claim", "after")
    code = run_forked(carry_on_dying, settings.home, FlushRef("d", 1), "adopt", moment)
    assert code == -signal.SIGKILL, "the fault did not fire"
    with Timestore(settings) as timestore:
        timestore.flush("d", Trigger.MANUAL, "next")
        assert published(timestore) == list(range(60))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", ["burn", "abort", "settle"])
def test_recovery_itself_may_be_killed(settings: Settings, point: str, moment: str) -> None:
    stage(settings, 0)
    flush_and_die(settings, "record export", "after")
    flush_and_die_while_recovering(settings, point, moment)
    with Timestore(settings) as timestore:
        timestore.flush("d", Trigger.MANUAL, "next")
        assert published(timestore) == list(range(60))


def flush_and_die_while_recovering(settings: Settings, point: str, moment: str) -> None:
    code = run_forked(recover_dying, settings.home, point, moment)
    assert code == -signal.SIGKILL, f"the fault at {point!r} did not fire"


def test_a_flush_killed_after_its_commit_is_finalized_not_repeated(settings: Settings) -> None:
    stage(settings, 0)
    flush_and_die(settings, "delta commit", "after")
    with Timestore(settings) as timestore:
        (settlement,) = recover(timestore.area, timestore.lake).settled
        assert settlement.state is FlushState.PUBLISHED
        assert published(timestore) == list(range(60))
        assert timestore.flush("d", Trigger.MANUAL, "next") is None


def test_what_a_killed_flush_had_published_gives_its_space_back_although_nothing_is_pending(settings: Settings) -> None:
    stage(settings, 0)
    roll_up_in(settings)
    stage(settings, 60)
    flush_and_die(settings, "finalize", "after")
    with Timestore(settings) as timestore:
        assert timestore.area.dataset_usage("d").total > 0
        assert len(timestore.area.directory.journal_files()) == 1
        assert timestore.flush("d", Trigger.MANUAL, "next") is None
        assert timestore.area.dataset_usage("d").total == 0
        assert timestore.area.directory.journal_files() == []


def test_a_flush_killed_before_its_commit_is_aborted_counted_and_its_files_are_removed(settings: Settings) -> None:
    stage(settings, 0)
    flush_and_die(settings, "delta commit", "before")
    with Timestore(settings) as timestore:
        (settlement,) = recover(timestore.area, timestore.lake).settled
        assert settlement.state is FlushState.ABORTED
        assert published(timestore) == []
        assert list(Path(settings.lake_uri).rglob("*.parquet")) == []
        retried = [c for c in timestore.area.ledger.counters.all() if c.series == "retried_batches_total"]
        assert [(c.labels, c.value) for c in retried] == [({"reason": "interrupted"}, 2.0)]


_SLOW_RECOVERY = """
import os, signal, sys
from timestore_pipeline import Settings
from timestore_pipeline.flush import settle
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.wiring import Timestore
decide = settle._outcome
def decide_and_stop(*arguments):
    decided = decide(*arguments)
    os.kill(os.getpid(), signal.SIGSTOP)
    return decided
settle._outcome = decide_and_stop
with Timestore(Settings.build(home=sys.argv[1])) as store:
    recover(store.area, store.lake)
"""


def test_who_wakes_up_with_an_old_decision_to_abort_does_not_return_what_was_published_meanwhile(
    settings: Settings,
) -> None:
    stage(settings, 0)
    flush_and_die(settings, "claim", "after")
    with script(_SLOW_RECOVERY, settings.home) as recovery, Timestore(settings) as timestore:
        recovery.wait_until_stopped()
        ref = FlushRef("d", 1)
        timestore.pipeline.export(ref, timestore.export_options())
        version = timestore.pipeline.publish(ref)
        os.kill(recovery.pid, signal.SIGCONT)
        assert recovery.wait() == 0
        timestore.pipeline.finalize(ref, version)
        assert timestore.flush("d", Trigger.MANUAL, "next") is None
        assert published(timestore) == list(range(60))

"""Two ledgers that count the same epochs: made anew, or two hosts of one shard name. No row is lost or doubled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flush.conftest import hourly, published
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import Fenced, ShardConflict
from timestore_pipeline.model.flush import FlushRef, FlushState, Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.wiring import Timestore


def stage(settings: Settings, first: int) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(10, first))


def flush(settings: Settings) -> None:
    with Timestore(settings) as timestore:
        timestore.flush("d", Trigger.MANUAL, "run")


def exported(timestore: Timestore) -> FlushRef:
    claim = timestore.pipeline.claim("d", Trigger.MANUAL, "run")
    assert claim.ref is not None
    timestore.pipeline.export(claim.ref, timestore.export_options())
    return claim.ref


@pytest.fixture
def twin(settings: Settings, tmp_path: Path) -> Settings:
    """Another host that publishes into the same lake under the same shard name."""
    return Settings.build(home=tmp_path / "twin", lake_uri=settings.lake_uri)


@pytest.fixture
def cleared(settings: Settings) -> Settings:
    """A staging directory that was made anew after two flushes, with ten rows in it."""
    for first in (0, 10):
        stage(settings, first)
        flush(settings)
    shutil.rmtree(settings.staging_directory)
    stage(settings, 20)
    return settings


def test_a_new_staging_directory_is_refused_and_told_the_one_command_that_helps(cleared: Settings) -> None:
    with Timestore(cleared) as timestore:
        with pytest.raises(ShardConflict, match="epoch 2 of shard 'shard-0' was taken by ledger") as refused:
            timestore.flush("d", Trigger.MANUAL, "run")
        assert "timestore recover --replace-shard" in refused.value.hint
        assert timestore.status("d").backlog.pending.rows == 10
        assert not timestore.status("d").decision.due  # it backs off instead of costing a run at every tick


def test_a_new_staging_directory_goes_on_above_the_epochs_of_the_lake_once_told_to(cleared: Settings) -> None:
    with Timestore(cleared) as timestore:
        assert len(recover(timestore.area, timestore.lake, replace_shard=True).reconciled.published) == 2
        done = timestore.flush("d", Trigger.MANUAL, "run")
        assert done is not None
        assert done.epoch == 3
        assert published(timestore) == list(range(30))
        assert verify(timestore.area, timestore.lake).ok


def test_without_being_told_recovery_takes_nobodys_place(cleared: Settings) -> None:
    with Timestore(cleared) as timestore:
        assert recover(timestore.area, timestore.lake).reconciled.published == []
        with pytest.raises(ShardConflict):
            timestore.flush("d", Trigger.MANUAL, "run")


def test_an_heir_goes_on_also_with_datasets_it_has_not_seen_yet(settings: Settings) -> None:
    stage(settings, 0)
    flush(settings)
    shutil.rmtree(settings.staging_directory)
    with Timestore(settings) as timestore:
        recover(timestore.area, timestore.lake, replace_shard=True)
    stage(settings, 10)
    flush(settings)
    with Timestore(settings) as timestore:
        assert published(timestore) == list(range(20))


def test_an_epoch_that_a_twin_has_taken_is_refused_and_its_batches_wait_for_the_operators_word(
    settings: Settings, twin: Settings
) -> None:
    stage(settings, 0)
    stage(twin, 10)
    with Timestore(settings) as one, Timestore(twin) as other:
        mine, theirs = exported(one), exported(other)
        assert mine == theirs
        other.pipeline.finalize(theirs, other.pipeline.publish(theirs))
        with pytest.raises(Fenced, match="another ledger has taken it"):
            one.pipeline.publish(mine)
        assert one.status("d").backlog.pending.rows == 10
        with pytest.raises(ShardConflict, match=other.area.ledger.identity):
            one.flush("d", Trigger.MANUAL, "run")
        recover(one.area, one.lake, replace_shard=True)
        one.flush("d", Trigger.MANUAL, "run")
        assert published(one) == list(range(20))
        assert verify(one.area, one.lake).ok


def test_recovery_does_not_take_a_twins_commit_for_its_own(settings: Settings, twin: Settings) -> None:
    stage(settings, 0)
    stage(twin, 10)
    with Timestore(settings) as one:
        exported(one)
    flush(twin)
    with Timestore(settings) as one:
        (settlement,) = recover(one.area, one.lake, replace_shard=True).settled
        assert settlement.state is FlushState.ABORTED
        one.flush("d", Trigger.MANUAL, "run")
        assert published(one) == list(range(20))
        assert verify(one.area, one.lake).ok


def test_a_claim_that_finds_a_twin_while_it_settles_takes_nothing(settings: Settings, twin: Settings) -> None:
    stage(settings, 0)
    stage(twin, 10)
    with Timestore(settings) as one:
        exported(one)
    flush(twin)
    with Timestore(settings) as one:
        with pytest.raises(ShardConflict):
            one.flush("d", Trigger.MANUAL, "run")
        assert one.status("d").backlog.pending.rows == 10

"""Two ledgers that count the same epochs: made anew, or two hosts under one shard name. Neither loses a row."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flush.conftest import hourly, published
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import Fenced
from timestore_pipeline.flush.recovery import recover
from timestore_pipeline.model.flush import FlushRef, FlushState, Trigger
from timestore_pipeline.wiring import Timestore


def stage(settings: Settings, first: int) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(10, first))


def exported(timestore: Timestore) -> FlushRef:
    claim = timestore.pipeline.claim("d", Trigger.MANUAL, "run")
    assert claim.ref is not None
    timestore.pipeline.export(claim.ref, timestore.export_options())
    return claim.ref


@pytest.fixture
def twin(settings: Settings, tmp_path: Path) -> Settings:
    """Another host that publishes into the same lake under the same shard name."""
    return Settings.build(home=tmp_path / "twin", lake_uri=settings.lake_uri, staging_seal_timeout_ms=300)


def test_a_new_staging_directory_goes_on_above_the_epochs_of_the_lake(settings: Settings) -> None:
    for first in (0, 10):
        stage(settings, first)
        with Timestore(settings) as timestore:
            timestore.flush("d", Trigger.MANUAL, "run")
    shutil.rmtree(settings.staging_directory)
    stage(settings, 20)
    with Timestore(settings) as timestore:
        flush = timestore.flush("d", Trigger.MANUAL, "run")
        assert flush is not None
        assert flush.epoch == 3
        assert published(timestore) == list(range(30))


def test_an_epoch_that_a_twin_has_taken_is_refused_and_its_batches_wait_for_the_next(
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
        one.flush("d", Trigger.MANUAL, "run")
        assert published(one) == list(range(20))


def test_recovery_does_not_take_a_twins_commit_for_its_own(settings: Settings, twin: Settings) -> None:
    stage(settings, 0)
    stage(twin, 10)
    with Timestore(settings) as one:
        exported(one)
    with Timestore(twin) as other:
        other.flush("d", Trigger.MANUAL, "run")
    with Timestore(settings) as one:
        (settlement,) = recover(one.area, one.lake).settled
        assert settlement.state is FlushState.ABORTED
        one.flush("d", Trigger.MANUAL, "run")
        assert published(one) == list(range(20))

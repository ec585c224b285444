"""Flushes that are stopped, taken for dead and wake up: refused, their files gone, every row in the lake once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.flush.conftest import hourly, published
from tests.flush.stopping import stopped_flush, wake_up
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import Fenced, FlushInFlight
from timestore_pipeline.model.flush import FlushRef, FlushState, Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.wiring import Timestore


def stage(settings: Settings, first: int) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(30, first))


def stored(settings: Settings) -> set[str]:
    root = Path(settings.lake_uri, "d")
    return {str(path.relative_to(root)) for path in root.rglob("*.parquet")}


@pytest.mark.parametrize(
    ("point", "moment", "end"),
    [
        ("table", "before", "fenced"),
        ("file", "after", "fenced"),
        ("record export", "before", "fenced"),
        ("record export", "after", "fenced"),
        ("publish", "before", "fenced"),
        ("commit", "before", "fenced"),
        ("commit", "after", "ok"),
        ("publish", "after", "ok"),
        ("finalize", "after", "ok"),
    ],
)
def test_a_flush_that_wakes_up_after_its_lease_changes_nothing_any_more(
    settings: Settings, point: str, moment: str, end: str
) -> None:
    stage(settings, 0)
    with stopped_flush(settings, point, moment) as zombie, Timestore(settings) as timestore:
        if point != "finalize":
            with pytest.raises(FlushInFlight):
                timestore.flush("d", Trigger.MANUAL, "too early")
        timestore.area.lease = timedelta(0)
        timestore.flush("d", Trigger.MANUAL, "next")
        assert published(timestore) == list(range(30))
        stage(settings, 30)
        assert wake_up(zombie) == end
        timestore.flush("d", Trigger.MANUAL, "later")
        assert published(timestore) == list(range(60))
        assert stored(settings) == {file.path for file in timestore.lake.table("d").live_files()}
        assert verify(timestore.area, timestore.lake).ok


def test_a_claim_is_kept_from_others_for_as_long_as_its_owner_gives_signs_of_life(settings: Settings) -> None:
    stage(settings, 0)
    with Timestore(settings) as owner, Timestore(settings) as other:
        ref = owner.pipeline.claim("d", Trigger.MANUAL, "run").ref
        assert ref is not None
        assert not other.area.is_interrupted(other.area.ledger.flushes.get(ref))
        assert recover(other.area, other.lake).settled == []
        other.area.lease = timedelta(0)
        assert other.area.is_interrupted(other.area.ledger.flushes.get(ref))


def test_an_export_whose_claim_was_settled_meanwhile_removes_its_files(settings: Settings) -> None:
    stage(settings, 0)
    with stopped_flush(settings, "record export", "before") as zombie, Timestore(settings) as timestore:
        assert len(stored(settings)) == 2
        timestore.area.lease = timedelta(0)
        (settlement,) = recover(timestore.area, timestore.lake).settled
        assert settlement.state is FlushState.ABORTED
        assert wake_up(zombie) == "fenced"
        assert stored(settings) == set()


def test_who_adopts_a_silent_owners_claim_is_not_disturbed_when_that_one_wakes_up(settings: Settings) -> None:
    stage(settings, 0)
    with stopped_flush(settings, "record export", "before") as zombie, Timestore(settings) as timestore:
        timestore.area.lease = timedelta(0)
        ref = FlushRef("d", 1)
        timestore.pipeline.export(ref, timestore.export_options())
        assert wake_up(zombie) == "fenced"
        timestore.pipeline.finalize(ref, timestore.pipeline.publish(ref))
        assert published(timestore) == list(range(30))
        assert stored(settings) == {file.path for file in timestore.lake.table("d").live_files()}


def test_claims_still_held_are_given_back_at_once(settings: Settings) -> None:
    stage(settings, 0)
    with Timestore(settings) as owner, Timestore(settings) as other:
        ref = owner.pipeline.claim("d", Trigger.MANUAL, "run").ref
        assert ref is not None
        owner.pipeline.export(ref, owner.export_options())
        owner.pipeline.give_back()
        assert stored(settings) == set()
        with pytest.raises(Fenced):
            owner.pipeline.publish(ref)
        other.flush("d", Trigger.MANUAL, "next")
        assert published(other) == list(range(30))

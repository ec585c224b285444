"""A ledger restored from a backup is reconciled: no batch is lost, none is published again."""

from __future__ import annotations

from collections.abc import Callable
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
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import ShardConflict
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.wiring import Timestore


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "backup.sqlite"


def test_batches_published_since_the_backup_are_not_published_again(settings: Settings, copy: Path) -> None:
    stage(settings, 0)
    backup(settings, copy)
    flush(settings)
    restore(settings, copy)
    found = recovered(settings).reconciled
    assert [ref.epoch for ref in found.published] == [1]
    flush(settings)
    assert in_lake(settings) == list(range(10))
    assert problems(settings) == []


def test_a_flush_before_recovery_is_refused_with_the_remedy(settings: Settings, copy: Path) -> None:
    stage(settings, 0)
    backup(settings, copy)
    flush(settings)
    restore(settings, copy)
    with Timestore(settings) as store, pytest.raises(ShardConflict) as refused:
        store.flush("d", Trigger.MANUAL, "run")
    assert "run `timestore recover`" in refused.value.hint
    assert "--replace-shard" not in refused.value.hint


@pytest.mark.parametrize(("since", "segments", "journals"), [(stage_in_segment, 1, 0), (stage, 0, 1)])
def test_batches_staged_since_the_backup_are_adopted(
    settings: Settings, copy: Path, since: Callable[..., None], segments: int, journals: int
) -> None:
    stage_in_segment(settings, 0)
    backup(settings, copy)
    since(settings, 10, 20)
    restore(settings, copy)
    found = recovered(settings).reconciled
    assert (len(found.adopted), len(found.journals), found.pending) == (segments, journals, 2)
    assert problems(settings) == []
    flush(settings)
    assert in_lake(settings) == list(range(30))
    assert problems(settings) == []


def test_a_segment_staged_since_and_published_in_part_owes_only_the_rest(settings: Settings, copy: Path) -> None:
    stage(settings, 0)
    flush(settings)
    backup(settings, copy)
    with StagingManager.open(settings) as staging:
        with Timestore(settings) as store:
            for first in (10, 20):
                staging.enqueue("d", numbers(first))
            store.flush("d", Trigger.MANUAL, "run")
        staging.enqueue("d", numbers(30))
    restore(settings, copy)
    recovered(settings)
    flush(settings)
    assert in_lake(settings) == list(range(40))
    assert problems(settings) == []


def test_a_claim_of_the_backup_that_was_published_since_is_entered(settings: Settings, copy: Path) -> None:
    stage(settings, 0)
    with Timestore(settings) as store:
        claim = store.pipeline.claim("d", Trigger.MANUAL, "run")
        assert claim.ref is not None
    backup(settings, copy)
    flush_again(settings)
    restore(settings, copy)
    recovered(settings)
    flush(settings)
    assert in_lake(settings) == list(range(10))
    assert problems(settings) == []


def flush_again(settings: Settings) -> None:
    """Carry the interrupted claim on instead of settling it, as the process that held it did after the backup."""
    with Timestore(settings) as store:
        [claimed] = store.area.ledger.flushes.in_flight("d")
        ref = FlushRef("d", claimed.epoch)
        store.pipeline.export(ref, store.export_options())
        store.pipeline.finalize(ref, store.pipeline.publish(ref))


def test_keys_of_adopted_batches_are_known_again(settings: Settings, copy: Path) -> None:
    stage(settings, 0)
    backup(settings, copy)
    stage(settings, 10)
    restore(settings, copy)
    recovered(settings)
    stage(settings, 10)
    flush(settings)
    assert in_lake(settings) == list(range(20))


def test_recovering_twice_changes_nothing(settings: Settings, copy: Path) -> None:
    stage(settings, 0)
    backup(settings, copy)
    flush(settings)
    stage(settings, 10)
    restore(settings, copy)
    recovered(settings)
    found = recovered(settings).reconciled
    assert (found.published, found.adopted, found.pending, found.unadopted, found.errors) == ([], [], 0, [], [])

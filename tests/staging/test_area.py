"""One staging directory as others ask about it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.services.small_disk import mounted
from tests.staging.journals import record, staged
from tests.staging.processes import held
from tests.staging.promises import START, batch, claimed, promise
from tests.staging.rows import write
from timestore_pipeline.errors import DiskFull, RetryLater, UnknownDataset
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.roll_up import roll_up
from timestore_pipeline.staging.segments import building

CLAIM = """
import sys
from pathlib import Path
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.staging.area import StagingArea
area = StagingArea(Path(sys.argv[1]), "shard-0")
area.ledger.flushes.claim("d", Trigger.ROWS, "run", area.identity.process_id)
print("ready", flush=True)
input()
"""


def test_a_backlog_counts_what_waits_and_what_is_in_flight(area: StagingArea) -> None:
    promise(area.ledger, "d", "s", batch("s", 1))
    claimed(area.ledger, owner=area.identity.process_id)
    promise(area.ledger, "d", "t", batch("t", 5))
    backlog = area.backlog("d")
    assert (backlog.pending, backlog.in_flight, backlog.quarantined) == (Volume(1, 10, 80), Volume(1, 10, 80), Volume())
    assert backlog.oldest_pending_at == START + timedelta(seconds=5)
    assert backlog.oldest_staged_at == START + timedelta(seconds=1)
    assert backlog.claim_trigger is Trigger.ROWS


@pytest.mark.parametrize("inodes", range(2, 10))
def test_a_disk_without_inodes_is_full_at_every_step_of_opening(tmp_path: Path, inodes: int) -> None:
    with mounted(tmp_path / "disk", 64, inodes) as disk, pytest.raises(DiskFull, match="no space left"):
        StagingArea(disk / "staging", "shard-0")


def test_the_backlog_of_an_unknown_dataset_is_refused(area: StagingArea) -> None:
    assert area.backlogs() == []
    with pytest.raises(UnknownDataset):
        area.backlog("x")


def test_only_datasets_with_something_staged_are_waiting(area: StagingArea) -> None:
    for name in ("c", "b", "a"):
        area.ledger.datasets.ensure(name)
    promise(area.ledger, "b", "s", batch("s", 1))
    promise(area.ledger, "c", "t", batch("t", 1))
    assert area.waiting() == [area.backlog("b"), area.backlog("c")]
    claimed(area.ledger, "b")
    assert [backlog.dataset for backlog in area.waiting()] == ["b", "c"]
    ref = FlushRef("b", 1)
    area.ledger.flushes.record_export(ref, [], [])
    area.ledger.flushes.finalize(ref, 1)
    assert [backlog.dataset for backlog in area.waiting()] == ["c"]


def test_disk_use_is_that_of_segments_journals_and_the_ledger(area: StagingArea) -> None:
    area.ledger.datasets.ensure("d")
    path = area.directory.segment("d", "s")
    write(path, 10)
    used = area.dataset_usage("d")
    assert (used.segments, used.journals) == (path.stat().st_size, 0)
    journal = staged(area, record(5), record(20, dataset="e", stream="e"))
    used, other = area.dataset_usage("d"), area.dataset_usage("e")
    assert (used.journals, other.segments, other.journals) == (5 * 8, 0, 20 * 8)
    assert area.backlog("d").disk_bytes == used.total
    assert [backlog.disk_bytes for backlog in area.waiting()] == [used.total, other.total]
    ledger = sum(file.stat().st_size for file in area.directory.root.glob("ledger.*"))
    assert area.total_bytes() == ledger + path.stat().st_size + journal.stat().st_size
    roll_up(area, "d")
    assert area.dataset_usage("d").journals == 0
    assert area.dataset_usage("d").segments > path.stat().st_size


def test_drained_segments_are_removed_with_their_rows(area: StagingArea) -> None:
    promise(area.ledger, "d", "s", batch("s", 0))
    write(area.directory.segment("d", "s"), 10)
    assert area.remove_drained_segments("d") == 0
    ref = claimed(area.ledger)
    area.ledger.flushes.record_export(ref, [], [])
    area.ledger.flushes.finalize(ref, 1)
    assert area.remove_drained_segments("d") == 1
    assert area.remove_drained_segments("d") == 0
    assert area.dataset_usage("d").total == 0
    assert area.ledger.segments.of_dataset("d") == []


def test_a_claim_of_this_process_is_worked_on_only_while_it_is_held(area: StagingArea) -> None:
    promise(area.ledger, "d", "s", batch("s", 0))
    ref = claimed(area.ledger, owner=area.identity.process_id)
    assert area.is_interrupted(area.ledger.flushes.get(ref))
    assert area.backlog("d").interrupted
    area.held_claims.add(ref)
    assert not area.is_interrupted(area.ledger.flushes.get(ref))
    assert not area.backlog("d").interrupted


def test_a_claim_of_another_process_is_worked_on_until_it_dies(area: StagingArea) -> None:
    promise(area.ledger, "d", "s", batch("s", 0))
    with held(CLAIM, area.directory.root):
        assert not area.backlog("d").interrupted
        assert not area.is_interrupted(area.ledger.flushes.get(FlushRef("d", 1)))
    assert area.backlog("d").interrupted
    assert area.is_interrupted(area.ledger.flushes.get(FlushRef("d", 1)))


def test_a_segment_that_cannot_be_unlinked_keeps_no_other_from_it_and_is_tried_again(area: StagingArea) -> None:
    for name in ("s", "t"):
        promise(area.ledger, "d", name, batch(name, 1))
        write(area.directory.segment("d", name), 10)
    ref = claimed(area.ledger, owner=area.identity.process_id)
    area.ledger.flushes.record_export(ref, [], [])
    area.ledger.flushes.finalize(ref, 1)
    in_the_way = building(area.directory.segment("d", "s"))
    in_the_way.mkdir()
    with pytest.raises(RetryLater, match="cannot be removed"):
        area.remove_drained_segments("d")
    area.tidy_segments("d")  # says so, and no more
    assert [segment.segment_id for segment in area.ledger.segments.of_dataset("d")] == ["s"]
    in_the_way.rmdir()
    assert area.remove_drained_segments("d") == 1

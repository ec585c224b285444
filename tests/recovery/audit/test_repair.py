"""`verify --repair` makes proven repairs, reports them, and gives a reason for every other problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recovery.audit.books import alter_ledger, audited, codes, segment
from timestore_pipeline.errors import Conflict
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.staging import quarantine
from timestore_pipeline.wiring import Timestore


def stray(store: Timestore, epoch: int, shard: str = "shard-0") -> Path:
    """A copy of a published file under the name of another flush's."""
    root = Path(store.lake.uri) / "weather"
    source = next(root.rglob("part-*.parquet"))
    path = source.with_name(f"part-{shard}-{epoch:010d}-0123456789ab.parquet")
    path.write_bytes(source.read_bytes())
    return path


def abort(store: Timestore) -> FlushRef:
    """A flush that was given up before it was exported, so that the log does not know its epoch."""
    ref = store.pipeline.claim("weather", Trigger.MANUAL, "test").ref
    assert ref is not None
    store.pipeline.give_back()
    return ref


@pytest.fixture
def passed(store: Timestore) -> int:
    """An epoch that was aborted, and that the log has passed with a later flush."""
    epoch = abort(store).epoch
    store.area.ledger.datasets.request_flush("weather")
    store.flush("weather", Trigger.MANUAL, "test")
    return epoch


def test_a_file_of_a_flush_that_can_never_be_published_is_deleted(store: Timestore, passed: int) -> None:
    path = stray(store, passed)
    assert "--repair` deletes it" in audited(store).warnings[0].hint
    assert path.exists()
    audit = audited(store, repair=True)
    assert not path.exists()
    assert path.name in audit.mended[0]
    assert (audit.ok, audit.repaired, audit.published_rows, codes(audit.warnings)) == (True, True, 50, [])


def test_a_file_whose_epoch_the_log_has_not_passed_is_left(store: Timestore) -> None:
    path = stray(store, abort(store).epoch)
    audit = audited(store, repair=True)
    assert path.exists()
    assert "until the log has passed epoch 2" in audit.warnings[0].hint
    assert audit.mended == []


@pytest.mark.parametrize(("epoch", "why"), [(1, "has not aborted a flush 1"), (77, "has not aborted a flush 77")])
def test_a_file_of_a_flush_that_was_not_aborted_is_kept(store: Timestore, epoch: int, why: str) -> None:
    path = stray(store, epoch)
    assert why in audited(store, repair=True).warnings[0].hint
    assert path.exists()


def test_another_shards_file_is_left(store: Timestore, passed: int) -> None:
    path = stray(store, passed, shard="other")
    assert (audited(store, repair=True).warnings, path.exists()) == ([], True)


def test_a_file_of_unknown_origin_is_kept(store: Timestore, passed: int) -> None:
    path = stray(store, passed).rename(Path(store.lake.uri) / "weather" / "mine.parquet")
    assert "no flush wrote it" in audited(store, repair=True).warnings[0].hint
    assert path.exists()


def test_nothing_that_a_commit_names_is_ever_deleted(store: Timestore) -> None:
    table = store.lake.table("weather")
    [path, *_] = [file.path for file in table.live_files()]
    with pytest.raises(Conflict, match="is published"):
        table.discard_leftovers(["other.parquet", path])


def test_a_half_done_move_to_quarantine_is_named_and_finished(store: Timestore) -> None:
    path = segment(store)
    quarantine.set_aside_if_damaged(
        store.area, store.area.ledger.segments.of_dataset("weather")[0], unusable="for the test"
    )
    aside = store.area.directory.quarantined("weather", path.stem)
    aside.rename(path)
    assert codes(audited(store).warnings) == ["move_unfinished"]
    audit = audited(store, repair=True)
    assert (audit.mended, audit.warnings) == (["finished 1 moves into or out of quarantine"], [])
    assert aside.exists()


def test_a_quarantined_file_without_an_incident_is_reported_and_gets_one(store: Timestore) -> None:
    path = store.area.directory.quarantined("weather", "stray")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"rotten")
    assert codes(audited(store).problems) == ["unknown_quarantined"]
    audit = audited(store, repair=True)
    assert (audit.ok, audit.mended) == (True, ["opened incident 1 for a file in quarantine"])


def test_segments_that_were_dropped_from_the_ledger_are_entered_again(store: Timestore) -> None:
    alter_ledger(store, "DELETE FROM segments")
    assert codes(audited(store).problems) == ["unknown_segment", "segment_unregistered"]
    audit = audited(store, repair=True)
    assert (audit.ok, audit.mended) == (True, [f"adopted segment {segment(store).stem}"])


def test_unrepairable_problems_are_left_unchanged(store: Timestore) -> None:
    segment(store).write_bytes(b"rotten")
    audit = audited(store, repair=True)
    assert (codes(audit.problems), audit.mended) == (["unreadable_segment"], [])

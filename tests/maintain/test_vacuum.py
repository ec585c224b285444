"""Which files are deleted, and which never are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.maintain.small_files import AT_ONCE, DAY, books, content, live, maintained, publish, rows, stored
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import direct_files
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


def test_replaced_files_stay_for_the_retention(fragmented: Timestore) -> None:
    before = stored(fragmented)
    assert maintained(fragmented).deleted == []
    assert set(before) < set(stored(fragmented))


def test_replaced_files_past_the_retention_go(fragmented: Timestore) -> None:
    before = content(fragmented)
    done = maintained(fragmented, retention=AT_ONCE)
    assert (len(done.deleted), done.deleted_bytes > 0) == (12, True)
    assert stored(fragmented) == live(fragmented)
    assert content(fragmented) == before
    assert books(fragmented) == ([], [])


def test_a_dry_run_lists_the_files_to_delete(fragmented: Timestore) -> None:
    maintained(fragmented)
    before = stored(fragmented)
    assert len(maintained(fragmented, retention=AT_ONCE, dry_run=True).deleted) == 12
    assert stored(fragmented) == before


def test_half_written_files_of_a_crash_are_deleted_after_a_day(fragmented: Timestore) -> None:
    table = Path(fragmented.lake.table("weather").uri)
    partition = next(table.glob("partition_date=*"))
    (table / "_tmp-folder").mkdir()
    for path in (table / "_tmp-folder" / "1.parquet", partition / "_tmp-file", partition / "_tmp-young"):
        path.write_bytes(b"half")
    two_days_ago = time.time() - 2 * DAY.total_seconds()
    for path in (table / "_tmp-folder", partition / "_tmp-file"):
        os.utime(path, (two_days_ago, two_days_ago))
    maintained(fragmented, retention=AT_ONCE)
    assert [path.name for path in table.rglob("_tmp-*")] == ["_tmp-young"]


def test_unpublished_files_of_a_flush_are_kept(fragmented: Timestore) -> None:
    with fragmented.staging() as staging:
        staging.enqueue("weather", rows(7))
    claim = fragmented.pipeline.claim("weather", Trigger.MANUAL, "test")
    assert claim.ref is not None
    fragmented.pipeline.export(claim.ref, fragmented.export_options())
    assert maintained(fragmented, retention=AT_ONCE).ok
    fragmented.pipeline.finalize(claim.ref, fragmented.pipeline.publish(claim.ref))
    assert len(content(fragmented)) == 70
    assert books(fragmented) == ([], [])


def test_unpublished_files_of_another_shards_flush_are_kept(fragmented: Timestore, settings: Settings) -> None:
    theirs = settings.model_copy(update={"staging_directory": settings.home / "other", "shard": "other"})
    with Timestore(theirs) as other:
        with other.staging() as staging:
            staging.enqueue("weather", rows(7))
        claim = other.pipeline.claim("weather", Trigger.MANUAL, "test")
        assert claim.ref is not None
        other.pipeline.export(claim.ref, other.export_options())
        assert maintained(fragmented, retention=AT_ONCE).ok
        other.pipeline.finalize(claim.ref, other.pipeline.publish(claim.ref))
        assert (books(other), books(fragmented)) == (([], []), ([], []))
    assert len(content(fragmented)) == 70


def test_files_of_unknown_origin_are_kept(fragmented: Timestore) -> None:
    stray = live(fragmented)[0].with_name("2013.parquet")
    stray.write_bytes(live(fragmented)[0].read_bytes())
    assert maintained(fragmented, retention=AT_ONCE).ok
    assert stray.exists()
    assert books(fragmented) == ([], ["unmanaged_file"])


def test_a_leftover_of_a_dead_compaction_goes_at_once(fragmented: Timestore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(TableMaintenance, "replace", _die)
        patched.setattr(TableMaintenance, "burn", _die)
        with pytest.raises(SystemExit):
            maintained(fragmented)
    [leftover] = _compacted(fragmented)
    assert books(fragmented) == ([], [])  # its compaction might still be at work
    done = maintained(fragmented, min_files=50)
    assert [Path(path).name for path in done.deleted] == [leftover.name]
    assert books(fragmented) == ([], [])


def test_a_leftover_is_never_taken_for_rows_of_another_tool(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(TableMaintenance, "replace", _die)
        patched.setattr(TableMaintenance, "delete", lambda *_: None)
        with pytest.raises(SystemExit):
            maintained(fragmented)
    assert len(_compacted(fragmented)) == 1
    assert books(fragmented) == ([], ["unmanaged_file"])  # its generation is burnt: a proven leftover
    assert direct_files(fragmented.area, fragmented.lake, "weather") == []
    publish(fragmented, 8)
    maintained(fragmented)
    assert books(fragmented) == ([], [])


def _die(*_arguments: object) -> None:
    raise SystemExit


def _compacted(store: Timestore) -> list[Path]:
    return [path for path in stored(store) if path.name.startswith("compacted-")]

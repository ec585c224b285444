"""A flush from claim to finalize in one process, against real files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.flush.conftest import hourly, published
from tests.staging.rolled import roll_up_all
from timestore_pipeline import Settings, StagingManager, TimestoreError
from timestore_pipeline.errors import (
    AllSetAside,
    Corrupted,
    DiskFull,
    Fenced,
    FlushInFlight,
    LedgerBusy,
    UnknownDataset,
)
from timestore_pipeline.flush.export import ExportOptions
from timestore_pipeline.flush.settle import settle
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.batch import stream_and_number
from timestore_pipeline.model.flush import FlushRef, FlushState, RetryReason, Trigger
from timestore_pipeline.model.lake import ExportedFile, app_id, commit_info
from timestore_pipeline.model.thresholds import ParquetOptions
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.ledger import claim_contents, database
from timestore_pipeline.staging.ledger import published as published_batches
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

OPTIONS = ExportOptions()


def test_every_staged_row_is_published_once(staging: StagingManager, timestore: Timestore) -> None:
    for first in range(0, 100, 10):
        staging.enqueue("d", hourly(10, first))
    flush = timestore.flush("d", Trigger.ROWS, "run-1")
    assert flush is not None
    assert (flush.epoch, flush.state, flush.trigger, flush.run_id) == (1, FlushState.PUBLISHED, Trigger.ROWS, "run-1")
    assert (flush.volume.batches, flush.volume.rows) == (10, 100)
    assert published(timestore) == list(range(100))


def test_a_commit_says_until_when_the_table_is_complete(
    staging: StagingManager, timestore: Timestore, settings: Settings
) -> None:
    staging.enqueue("d", hourly(10))
    ref = claimed(timestore)
    timestore.pipeline.export(ref, OPTIONS)
    meanwhile = staging.enqueue("d", hourly(10, first=10))
    timestore.pipeline.publish(ref)
    commit = DeltaTable(Path(settings.lake_uri, "d")).history(1)[0]
    assert json.loads(commit["timestore"])["complete_until"] == meanwhile.staged_at.isoformat()


def test_there_is_one_file_per_partition_and_its_rows_are_in_time_order(
    staging: StagingManager, timestore: Timestore, settings: Settings
) -> None:
    staging.enqueue("d", hourly(40, first=20))
    staging.enqueue("d", hourly(20))
    timestore.flush("d", Trigger.MANUAL, "run")
    files = sorted(Path(settings.lake_uri, "d").rglob("*.parquet"))
    assert [file.parent.name for file in files] == [f"partition_date=2026-03-0{day}" for day in (1, 2, 3)]
    numbers = [pq.read_table(file, partitioning=None)["n"].to_pylist() for file in files]
    assert numbers == [list(range(24)), list(range(24, 48)), list(range(48, 60))]


def test_nothing_staged_is_nothing_flushed(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(1))
    assert timestore.flush("d", Trigger.MANUAL, "run") is not None
    assert timestore.flush("d", Trigger.MANUAL, "run") is None
    assert timestore.area.ledger.datasets.get("d").last_epoch == 1


def test_an_unknown_dataset_is_refused(timestore: Timestore) -> None:
    with pytest.raises(UnknownDataset, match="no dataset 'nobody'"):
        timestore.flush("nobody", Trigger.MANUAL, "run")


def test_new_columns_reach_the_table_and_older_rows_have_nulls(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(1))
    timestore.flush("d", Trigger.MANUAL, "run")
    staging.enqueue("d", hourly(1, first=1).append_column("note", pa.array(["new"])))
    staging.enqueue("d", hourly(1, first=2))
    timestore.flush("d", Trigger.MANUAL, "run")
    rows = timestore.lake.table("d").to_arrow_dataset().to_table().sort_by("n").to_pylist()
    assert [row["note"] for row in rows] == [None, "new", None]


def test_every_kind_of_value_comes_back_as_it_was(
    staging: StagingManager, settings: Settings, timestore: Timestore
) -> None:
    row = {
        "ts": datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        "naïve \"select\" 'at'": datetime(2026, 1, 1, 12),
        "day": date(2026, 1, 1),
        "amount": Decimal("12345678901234567890.12"),
        "flag": True,
        "ratio": 0.1,
        "raw": b"\x00\xff",
        "text": "žluťoučký 🐎",
        "list": [{"a": 1, "b": [None, "x"]}],
        "nothing": None,
    }
    staging.enqueue("d", [row, {**row, "nothing": 7}])
    timestore.flush("d", Trigger.MANUAL, "run")
    found = DeltaTable(str(Path(settings.lake_uri, "d"))).to_pyarrow_table().drop(["partition_date"]).to_pylist()
    assert sorted(found, key=lambda r: r["nothing"] is None) == [{**row, "nothing": 7}, row]


def test_rows_without_a_time_are_published_too(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", pa.table({"ts": pa.array([None], pa.timestamp("us", "UTC")), "n": [5]}))
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == [5]


def test_a_dataset_without_any_time_column_is_one_unpartitioned_table(
    staging: StagingManager, timestore: Timestore
) -> None:
    staging.enqueue("d", [{"n": 2}, {"n": 1}])
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == [1, 2]
    assert timestore.lake.table("d").partition_columns() == []


def test_an_empty_batch_is_published_as_nothing(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(0))
    flush = timestore.flush("d", Trigger.MANUAL, "run")
    assert flush is not None
    assert (flush.state, flush.volume.batches, flush.files) == (FlushState.PUBLISHED, 1, 0)


def test_the_ledger_says_which_files_hold_a_batch(staging: StagingManager, timestore: Timestore) -> None:
    receipt = staging.enqueue("d", hourly(30))
    timestore.flush("d", Trigger.MANUAL, "run")
    rows = timestore.area.ledger.database.rows(
        "SELECT stream_id, first_number, last_number, path, run_files.rows FROM run_files"
        " JOIN published_runs USING (run_id) JOIN files USING (file_id) ORDER BY path"
    )
    place = (*stream_and_number(receipt.batch_id), stream_and_number(receipt.batch_id)[1])
    assert [(*tuple(row)[:3], row["rows"]) for row in rows] == [(*place, 24), (*place, 6)]


def test_published_segments_give_their_space_back(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(10))
    assert timestore.area.dataset_usage("d").total > 0
    timestore.flush("d", Trigger.MANUAL, "run")
    assert timestore.area.dataset_usage("d").total == 0


def test_what_is_staged_during_a_flush_waits_for_the_next(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(10))
    claim = timestore.pipeline.claim("d", Trigger.MANUAL, "run")
    assert claim.ref is not None
    staging.enqueue("d", hourly(10, first=10))
    timestore.pipeline.export(claim.ref, OPTIONS)
    timestore.pipeline.finalize(claim.ref, timestore.pipeline.publish(claim.ref))
    assert published(timestore) == list(range(10))
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(20))


def test_every_phase_may_be_done_twice(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(10))
    ref = claimed(timestore)
    timestore.pipeline.export(ref, OPTIONS)
    timestore.pipeline.export(ref, OPTIONS)
    version = timestore.pipeline.publish(ref)
    assert timestore.pipeline.publish(ref) == version
    assert timestore.pipeline.finalize(ref, version) == timestore.pipeline.finalize(ref, version)
    assert published(timestore) == list(range(10))


def test_a_claim_takes_a_bounded_number_of_segments_oldest_first_and_a_request_stands_until_all_is_published(
    settings: Settings, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in range(3):
        with StagingManager.open(settings) as staging:
            staging.enqueue("d", hourly(1, first))
        roll_up_all(timestore.area)
    timestore.area.ledger.datasets.request_flush("d")
    monkeypatch.setattr(claim_contents, "MOST_FILES", 2)
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == [0, 1]
    assert timestore.status("d").decision.trigger is Trigger.MANUAL
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == [0, 1, 2]
    assert timestore.status("d").backlog.manual_requested_at is None


def test_a_claim_may_take_a_part_of_a_segment(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in range(5):
        staging.enqueue("d", hourly(1, first))
    monkeypatch.setattr(claim_contents, "MOST_BATCHES", 2)
    for _ in range(3):
        timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(5))
    assert timestore.area.dataset_usage("d").total == 0


@pytest.mark.parametrize(("threshold", "taken"), [(1 << 20, 3), (128 << 20, 5)])
def test_a_claim_takes_what_an_export_can_sort_or_half_as_much_again_as_the_threshold(
    settings: Settings, threshold: int, taken: int
) -> None:
    small = settings.model_copy(update={"export_memory_mb": 64, "staging_flush_max_bytes": threshold})  # sorts 24 MiB
    with StagingManager.open(small) as staging:
        for _ in range(5):
            staging.enqueue("d", pa.table({"text": ["x" * (10 << 20)]}))
    with Timestore(small) as timestore:
        ref = timestore.pipeline.claim("d", Trigger.MANUAL, "run").ref
        assert ref is not None
        assert timestore.area.ledger.flushes.get(ref).volume.batches == taken
        assert timestore.status("d").backlog.pending.batches == 5 - taken


def test_an_export_repeated_after_the_publish_keeps_the_published_files(
    staging: StagingManager, timestore: Timestore
) -> None:
    staging.enqueue("d", hourly(10))
    ref = claimed(timestore)
    timestore.pipeline.export(ref, OPTIONS)
    timestore.pipeline.publish(ref)
    timestore.pipeline.export(ref, OPTIONS)
    timestore.pipeline.finalize(ref, timestore.pipeline.publish(ref))
    recorded = {file.path for file in timestore.area.ledger.flushes.files(ref)}
    assert recorded == {file.path for file in timestore.lake.table("d").live_files()}


def test_a_flush_that_cannot_be_finalized_now_is_finalized_by_the_next(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("d", hourly(10))
    ref = claimed(timestore)
    timestore.pipeline.export(ref, OPTIONS)
    version = timestore.pipeline.publish(ref)
    monkeypatch.setattr(database, "_BUSY_TIMEOUT", 0.05)
    with closing(sqlite3.connect(timestore.area.directory.ledger)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusy):
            timestore.pipeline.finalize(ref, version)
    assert timestore.status("d").backlog.interrupted
    assert timestore.flush("d", Trigger.MANUAL, "next") is None
    assert timestore.area.ledger.flushes.get(ref).state is FlushState.PUBLISHED
    assert published(timestore) == list(range(10))


def test_a_published_flush_is_no_failure_although_its_files_cannot_be_removed(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(f"read-only: {path}")

    staging.enqueue("d", hourly(10))
    roll_up_all(timestore.area)
    with monkeypatch.context() as patched:
        patched.setattr(segments, "remove", refuse)
        flush = timestore.flush("d", Trigger.MANUAL, "run")
    assert flush is not None
    assert flush.state is FlushState.PUBLISHED
    assert "drained segments cannot be removed: read-only" in caplog.text


def test_everything_past_its_retention_is_forgotten_however_much_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Settings.build(home=tmp_path / "short", idempotency_retention_days=1e-9)
    for most in ("MOST_FOLDED", "MOST_PRUNED"):
        monkeypatch.setattr(published_batches, most, 1)
    with StagingManager.open(short) as staging, Timestore(short) as timestore:
        for first in range(3):
            staging.enqueue("d", hourly(1, first))
        timestore.flush("d", Trigger.MANUAL, "run")
        staging.enqueue("d", hourly(1, 3))
        timestore.flush("d", Trigger.MANUAL, "run")
        for table in ("batches", "published_runs"):
            assert timestore.area.ledger.database.rows(f"SELECT * FROM {table} WHERE epoch = 1") == []


def test_a_phase_that_cannot_even_begin_gives_its_claim_back(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DiskFull("no space left for the ledger")

    staging.enqueue("d", hourly(10))
    ref = claimed(timestore)
    timestore.area.held_claims.discard(ref)  # the phase before let go of it
    with monkeypatch.context() as patched:
        patched.setattr(Flushes, "adopt", refuse)
        with pytest.raises(DiskFull):
            timestore.pipeline.export(ref, OPTIONS)
    timestore.flush("d", Trigger.MANUAL, "next")
    assert published(timestore) == list(range(10))


def test_a_claim_that_was_not_exported_cannot_be_published(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(10))
    with pytest.raises(Fenced, match="has not been exported"):
        timestore.pipeline.publish(claimed(timestore))
    assert timestore.status("d").backlog.pending.rows == 10
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(10))


def test_a_second_claim_of_a_dataset_is_refused(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(1))
    claimed(timestore)
    staging.enqueue("d", hourly(1, 1))
    with pytest.raises(FlushInFlight, match="flush 1 of dataset 'd' is in flight"):
        timestore.pipeline.claim("d", Trigger.MANUAL, "other")
    assert timestore.area.ledger.journals.datasets_waiting() == ["d"]  # nothing was rolled up in vain


def test_a_failed_export_returns_its_batches_and_counts_them(
    staging: StagingManager, timestore: Timestore, settings: Settings
) -> None:
    staging.enqueue("d", hourly(10))
    blocker = Path(settings.lake_uri, "d")
    blocker.parent.mkdir(parents=True)
    blocker.touch()
    with pytest.raises(TimestoreError):
        timestore.flush("d", Trigger.MANUAL, "run")
    backlog = timestore.status("d").backlog
    assert (backlog.pending.rows, backlog.in_flight.rows, backlog.failures) == (10, 0, 1)
    assert backlog.retry_at is not None
    blocker.unlink()
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(10))
    assert timestore.status("d").backlog.failures == 0


def test_a_segment_that_lost_rows_never_looks_like_a_complete_flush(settings: Settings, timestore: Timestore) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(10))
    (segment,) = roll_up_all(timestore.area)
    with duckdb.connect(str(segment)) as damaged:
        damaged.execute("DELETE FROM rows WHERE n = 3")
    with pytest.raises(AllSetAside, match="published nothing"):
        timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == []
    assert timestore.status("d").backlog.quarantined.rows == 10


def test_an_export_that_fails_half_way_leaves_no_files(
    staging: StagingManager, timestore: Timestore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("d", hourly(50))
    ref = claimed(timestore)
    write = LakeTable.write
    written: list[ExportedFile] = []

    def write_twice(*arguments: Any, **options: Any) -> ExportedFile:
        if len(written) == 2:
            raise DiskFull("no space left in the lake")
        written.append(write(*arguments, **options))
        return written[-1]

    monkeypatch.setattr(LakeTable, "write", write_twice)
    with pytest.raises(DiskFull):
        timestore.pipeline.export(ref, OPTIONS)
    assert len(written) == 2
    assert list(Path(settings.lake_uri).rglob("*.parquet")) == []


def test_a_file_with_fewer_rows_than_its_partition_is_never_published(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("d", hourly(50))
    ref = claimed(timestore)
    monkeypatch.setattr(Partitioning, "predicate", lambda *_: "n % 24 > 0")
    with pytest.raises(Corrupted, match="partition 2026-03-01 has 24 rows, 47 were exported"):
        timestore.pipeline.export(ref, OPTIONS)
    assert timestore.status("d").backlog.pending.rows == 50


def test_overrides_reach_the_parquet_files(staging: StagingManager, timestore: Timestore, settings: Settings) -> None:
    staging.enqueue("d", hourly(10))
    ref = claimed(timestore)
    timestore.pipeline.export(ref, replace(OPTIONS, parquet=ParquetOptions(compression="snappy")))
    (file,) = Path(settings.lake_uri, "d").rglob("*.parquet")
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "SNAPPY"


def test_a_claim_settled_by_others_can_no_longer_be_published(
    staging: StagingManager, settings: Settings, timestore: Timestore
) -> None:
    staging.enqueue("d", hourly(10))
    ref = claimed(timestore)
    timestore.pipeline.export(ref, OPTIONS)
    flush = timestore.area.ledger.flushes.get(ref)
    with Timestore(settings) as other:
        settle(other.area, other.lake, flush, RetryReason.INTERRUPTED, "taken for dead")
        with pytest.raises(Fenced):
            timestore.pipeline.publish(ref)
        other.flush("d", Trigger.MANUAL, "other")
        assert published(other) == list(range(10))


def test_a_zombie_that_is_already_past_the_ledger_is_refused_by_the_delta_log(
    staging: StagingManager, settings: Settings, timestore: Timestore
) -> None:
    staging.enqueue("d", hourly(10))
    ref = claimed(timestore)
    timestore.pipeline.export(ref, OPTIONS)
    files = timestore.area.ledger.flushes.files(ref)
    info = commit_info("shard-0", timestore.area.ledger.flushes.get(ref), "other", [], clock.now())
    with Timestore(settings) as other:
        settle(other.area, other.lake, other.area.ledger.flushes.get(ref), RetryReason.INTERRUPTED, "taken for dead")
    with pytest.raises(Fenced, match="burnt or overtaken"):
        timestore.lake.table("d").publish(app_id("shard-0", "d"), ref.epoch, files, info)
    assert published(timestore) == []


def test_a_commit_tells_which_batches_of_which_ledger_it_published(
    staging: StagingManager, timestore: Timestore
) -> None:
    first = staging.enqueue("d", hourly(3)).batch_id
    staging.enqueue("d", hourly(4, first=3))
    timestore.flush("d", Trigger.MANUAL, "run")
    [(_, told)] = timestore.lake.table("d").commits()
    assert told["ledger"] == timestore.area.ledger.identity != ""
    assert told["segments"] == {first.rpartition("-")[0]: "0-1"}
    assert (told["batches"], told["rows"], told["bytes"]) == (
        2,
        7,
        timestore.area.ledger.flushes.history("d")[0].volume.bytes,
    )


def test_published_batches_are_forgotten_after_the_retention_and_still_counted(
    settings: Settings, tmp_path: Path
) -> None:
    short = Settings.build(home=tmp_path / "short", idempotency_retention_days=1e-9)
    with StagingManager.open(short) as staging, Timestore(short) as timestore:
        staging.enqueue("d", hourly(5), idempotency_key="k")
        timestore.flush("d", Trigger.MANUAL, "run")
        staging.enqueue("d", hourly(5, first=5))
        timestore.flush("d", Trigger.MANUAL, "run")
        dataset_id = timestore.area.ledger.datasets.get("d").dataset_id
        assert timestore.area.ledger.batches.known_keys(dataset_id, ["k"]) == {}
        assert timestore.area.ledger.database.rows("SELECT * FROM published_keys") == []
        totals = timestore.area.ledger.audit.totals("d").kept
        assert totals["published"].rows == totals["accepted"].rows == 10


def claimed(timestore: Timestore) -> FlushRef:
    ref = timestore.pipeline.claim("d", Trigger.MANUAL, "run").ref
    assert ref is not None
    return ref


def test_a_published_segment_that_cannot_be_unlinked_keeps_no_later_flush_waiting(
    staging: StagingManager, timestore: Timestore
) -> None:
    staging.enqueue("d", hourly(3))
    roll_up_all(timestore.area)
    ref = timestore.pipeline.claim("d", Trigger.MANUAL, "run").ref
    assert ref is not None
    timestore.pipeline.export(ref, OPTIONS)
    [segment] = timestore.area.ledger.segments.of_dataset("d")
    segments.building(timestore.area.directory.segment("d", segment.segment_id)).mkdir()
    timestore.pipeline.finalize(ref, timestore.pipeline.publish(ref))
    staging.enqueue("d", hourly(3, first=3))
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(6))

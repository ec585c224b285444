"""A spool that cannot hold what the export spills: a typed error, and the next flush publishes everything."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.flush.conftest import hourly, published
from tests.staging.rolled import roll_up_all
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import DiskFull, RetryLater
from timestore_pipeline.flush import schema_sync, shares
from timestore_pipeline.flush.export import ExportOptions
from timestore_pipeline.flush.settle import ensure_table
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.flush import FlushRef, FlushState, Trigger
from timestore_pipeline.model.lake import ExportedFile
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.staging.roll_up import roll_up
from timestore_pipeline.wiring import Timestore

_MUCH = "SELECT random() AS n, hash(i) AS h FROM range(4000000) AS r(i) ORDER BY n"  # more than 64 MiB


def claimed(timestore: Timestore) -> FlushRef:
    ref = timestore.pipeline.claim("d", Trigger.MANUAL, "run").ref
    assert ref is not None
    return ref


def test_a_spool_that_is_not_there_is_named(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(10))
    spool = timestore.area.directory.spool
    spool.rmdir()
    with pytest.raises(RetryLater, match=str(spool)):
        timestore.flush("d", Trigger.MANUAL, "run")
    spool.mkdir()
    timestore.flush("d", Trigger.MANUAL, "next")
    assert published(timestore) == list(range(10))


def test_a_long_export_says_how_far_it_has_got(
    staging: StagingManager,
    timestore: Timestore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("timestore_pipeline.flush.export.TELL_EVERY", 0.0)
    staging.enqueue("d", hourly(49))
    timestore.flush("d", Trigger.MANUAL, "run")
    told = [record.getMessage() for record in caplog.records if "exporting" in record.getMessage()]
    assert told == [
        "flush exporting dataset=d epoch=1 files=1 of=3 rows=24",
        "flush exporting dataset=d epoch=1 files=2 of=3 rows=48",
    ]


@pytest.mark.parametrize(("room", "error"), [("0KiB", DiskFull), ("", RetryLater)])
def test_a_sort_that_does_not_fit_says_what_is_short(
    staging: StagingManager,
    timestore: Timestore,
    monkeypatch: pytest.MonkeyPatch,
    room: str,
    error: type[Exception],
) -> None:
    """DuckDB calls both of them out of memory."""
    write = LakeTable.write

    def write_much(table: LakeTable, connection: duckdb.DuckDBPyConnection, *rest: Any, **options: Any) -> Any:
        if room:
            connection.execute(f"SET max_temp_directory_size = '{room}'")
        else:
            connection.execute("SET temp_directory = ''")
        return write(table, connection, _MUCH, *rest[1:], **options)

    staging.enqueue("d", hourly(10))
    ref = claimed(timestore)
    monkeypatch.setattr(LakeTable, "write", write_much)
    with pytest.raises(error):
        timestore.pipeline.export(ref, ExportOptions(memory_mb=64))
    monkeypatch.undo()
    timestore.flush("d", Trigger.MANUAL, "next")
    assert published(timestore) == list(range(10))


@pytest.mark.parametrize(("width", "group"), [(8, 30_000), (1000, 4096)])
def test_row_groups_of_wide_rows_are_small_enough_to_be_held_in_memory(
    settings: Settings, width: int, group: int
) -> None:
    small = settings.model_copy(update={"export_memory_mb": 64})
    with StagingManager.open(small) as staging:
        staging.enqueue("d", pa.table({"text": [f"{number:0{width}}" for number in range(30_000)]}))
    with Timestore(small) as timestore:
        timestore.flush("d", Trigger.MANUAL, "run")
    (file,) = Path(small.lake_uri).rglob("*.parquet")
    assert pq.read_metadata(file).row_group(0).num_rows == group


def test_a_column_that_is_added_while_an_export_begins_is_in_the_next_flushs_files(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ensure_and_evolve(table: LakeTable, record: DatasetRecord) -> Partitioning:
        partitioning = ensure_table(table, record)
        staging.enqueue("d", hourly(3, first=3).append_column("late", pa.array([1.5] * 3)))
        return partitioning

    staging.enqueue("d", hourly(3))
    with monkeypatch.context() as patched:
        patched.setattr(schema_sync, "ensure_table", ensure_and_evolve)
        timestore.flush("d", Trigger.MANUAL, "run")
    (file,) = Path(timestore.settings.lake_uri).rglob("*.parquet")
    assert "late" not in pq.read_schema(file).names
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(6))


def test_a_sort_over_several_segments_takes_no_more_memory_than_over_one(settings: Settings) -> None:
    """Rows of 16 bytes once carried their segment's id through the sort, and ten segments filled half a gigabyte."""
    narrow = settings.model_copy(update={"staging_segment_max_bytes": 1, "export_memory_mb": 64})
    rows = pa.table({"at": pa.array(range(100_000), pa.timestamp("us")), "n": range(100_000)})
    with StagingManager.open(narrow) as staging:
        for _ in range(10):
            staging.enqueue("d", rows)
    with Timestore(narrow) as timestore:
        flush = timestore.flush("d", Trigger.MANUAL, "run")
        assert flush is not None
        assert (flush.state, flush.volume.rows, flush.files) == (FlushState.PUBLISHED, 1_000_000, 1)


def test_a_claim_of_many_small_segments_fits_the_memory(settings: Settings) -> None:
    """Segments, not rows, were what filled half a gigabyte."""
    one_batch_each = settings.model_copy(update={"staging_segment_max_bytes": 1, "export_memory_mb": 256})
    with StagingManager.open(one_batch_each) as staging:
        for number in range(240):
            rows = hourly(20).set_column(1, "n", pa.array(range(20 * number, 20 * number + 20)))
            staging.submit("d", rows, max_wait=timedelta(minutes=1))
    with Timestore(one_batch_each) as timestore:
        roll_up_all(timestore.area)
        assert len(timestore.area.ledger.segments.of_dataset("d")) == 240
        timestore.flush("d", Trigger.MANUAL, "run")
        assert published(timestore) == list(range(4800))


@pytest.mark.parametrize("granularity", ["hour", "day"])
def test_many_partitions_are_exported_as_each_alone_would_be(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, granularity: str
) -> None:
    """The same rows in the same order with the same statistics; also rows without a time, and several segments."""
    found = []
    for fewest, dataset in ((2, "together"), (1_000_000, "alone")):
        monkeypatch.setattr(shares, "FEWEST", fewest)
        found.append(exported_by_partition(settings, dataset, granularity))
    together, alone = found
    assert together == alone
    assert len(together) == (719 if granularity == "hour" else 31)


def exported_by_partition(settings: Settings, dataset: str, granularity: str) -> dict[str, Any]:
    """Partition -> rows as they lie in its file, and statistics."""
    several = settings.model_copy(update={"staging_segment_max_bytes": 1})
    with Timestore(several) as timestore:
        timestore.area.ledger.datasets.ensure(dataset)
        timestore.set_metadata(dataset, {"partition": {"granularity": granularity}})
        for first in (0, 241):
            with StagingManager.open(several) as staging:
                rows = hourly(480, first)
                staging.enqueue(dataset, pa.table({"ts": [*rows["ts"].to_pylist()[:239], None], "n": rows["n"][:240]}))
                staging.enqueue(dataset, rows.slice(240, 239).append_column("s", pa.array([{"a": [1]}] * 239)))
        timestore.flush(dataset, Trigger.MANUAL, "run")
        table = timestore.lake.table(dataset)
        adds = pa.table(DeltaTable(table.uri).get_add_actions(flatten=True)).to_pylist()
    files = {str(add["path"]).rpartition("/")[0]: add for add in adds}
    return {
        partition: (
            pq.read_table(f"{table.uri}/{unquote(add['path'])}", partitioning=None).to_pylist(),
            {name: value for name, value in add.items() if name == "num_records" or "." in name},
        )
        for partition, add in files.items()
    }


def test_rows_of_one_instant_keep_the_order_in_which_they_were_staged(settings: Settings, timestore: Timestore) -> None:
    """Also when the younger of two producers rolled its journal up first."""
    for number in (0, 1):
        with StagingManager.open(settings) as staging:
            staging.enqueue("d", hourly(1).set_column(1, "n", pa.array([number])))
    first, second = (journal.journal_id for journal in timestore.area.ledger.journals.all())
    for journal_id in (second, first):
        assert len(roll_up(timestore.area, "d", only={journal_id}).segments) == 1
    timestore.flush("d", Trigger.MANUAL, "run")
    assert timestore.lake.table("d").to_arrow_dataset().to_table()["n"].to_pylist() == [0, 1]


def test_of_many_partitions_none_stays_when_the_disk_fills(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second of two runs."""
    monkeypatch.setattr(shares, "MOST", 20)
    write_many, calls = LakeTable.write_many, []

    def full(table: LakeTable, *arguments: Any, **options: Any) -> list[ExportedFile]:
        calls.append(arguments)
        if len(calls) == 2:
            raise DiskFull("no space left, injected")
        return write_many(table, *arguments, **options)

    staging.enqueue("d", hourly(24 * 40))
    monkeypatch.setattr(LakeTable, "write_many", full)
    with pytest.raises(DiskFull):
        timestore.flush("d", Trigger.MANUAL, "run")
    assert len(calls) == 2
    assert list(Path(timestore.settings.lake_uri).rglob("*.parquet")) == []
    timestore.flush("d", Trigger.MANUAL, "next")
    assert published(timestore) == list(range(24 * 40))

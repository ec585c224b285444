"""Publishing into a table, checked with every reader."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from tests.lake.exporting import APP, NUMBERS, UNPARTITIONED, export, publish
from timestore_pipeline.errors import Conflict, Corrupted, MissingTable
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.lake import EpochOutcome, PartitionKey

START = datetime(2013, 1, 30, 23, tzinfo=UTC)
TIMES = [START + timedelta(minutes=40 * i) for i in range(80)]
WEATHER = pa.table(
    {
        "time hour": pa.array([*TIMES, None], pa.timestamp("us", tz="UTC")),
        'témp "°C", {x}=y': pa.array([*(i / 7 for i in range(80)), None], pa.float64()),
        "wind": pa.array([{"speed": i, "from": [i, i + 1]} for i in range(81)]),
        "naive": pa.array([time.replace(tzinfo=None) for time in [*TIMES, START]], pa.timestamp("us")),
    }
)
GRANULARITIES = [(Granularity.HOUR, 54), (Granularity.DAY, 5), (Granularity.MONTH, 3), (Granularity.NONE, 1)]


def sorted_rows(rows: pa.Table) -> list[dict[str, Any]]:
    columns = sorted(set(rows.column_names) - {"partition_date", "partition_hour"})
    return sorted(rows.select(columns).to_pylist(), key=repr)


@pytest.mark.parametrize(("granularity", "files"), GRANULARITIES)
def test_every_reader_sees_the_published_rows(table: LakeTable, granularity: Granularity, files: int) -> None:
    publish(table, WEATHER, granularity)
    assert len(table.live_files()) == files
    expected = sorted_rows(WEATHER)
    assert sorted_rows(table.to_arrow_dataset().to_table()) == expected
    assert sorted_rows(DeltaTable(table.uri).to_pyarrow_table()) == expected
    assert sorted_rows(pl.read_delta(table.uri).to_arrow()) == expected
    with duckdb.connect() as con:
        con.execute("SET timezone = 'UTC'")
        paths = [f"{table.uri}/{file.path}" for file in table.live_files()]
        assert sorted_rows(con.read_parquet(paths, hive_partitioning=False).to_arrow_table()) == expected
        con.register("weather", table.to_arrow_dataset())
        assert sorted_rows(con.sql("FROM weather").to_arrow_table()) == expected


@pytest.mark.parametrize("folder", ["", "weather", "weather/_delta_log"])
def test_a_file_in_place_of_a_folder_of_the_table_is_reported_and_kept(
    tmp_path: Path, table: LakeTable, folder: str
) -> None:
    file = tmp_path / "lake" / folder
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")
    with pytest.raises(Corrupted, match=rf"{folder} is a file") as told:
        publish(table, WEATHER)
    assert "move it out of the lake" in told.value.hint
    assert file.read_bytes() == b"x"


def test_a_file_in_place_of_a_partitions_folder_is_reported(table: LakeTable) -> None:
    Path(table.uri).mkdir(parents=True)
    (Path(table.uri) / "partition_date=2013-01-01").write_bytes(b"x")
    with pytest.raises(Corrupted, match="partition_date=2013-01-01 is a file"):
        publish(table, WEATHER, Granularity.MONTH)


@pytest.mark.parametrize(("granularity", "files"), GRANULARITIES)
def test_a_time_filter_finds_its_rows_in_every_reader(table: LakeTable, granularity: Granularity, files: int) -> None:
    publish(table, WEATHER, granularity)
    after = TIMES[50]
    dataset = table.to_arrow_dataset()
    assert dataset.to_table(filter=pc.field("time hour") >= after).num_rows == 30
    assert pl.scan_delta(table.uri).filter(pl.col("time hour") >= after).collect().height == 30
    with duckdb.connect() as con:
        con.register("weather", dataset)
        found = con.execute('SELECT count(*) FROM weather WHERE "time hour" >= ?', [after]).fetchall()
    assert found == [(30,)]


def test_partition_columns_can_be_filtered_and_files_are_skipped(table: LakeTable) -> None:
    publish(table, WEATHER, Granularity.DAY)
    day = pc.field("partition_date") == TIMES[40].date()
    dataset = table.to_arrow_dataset()
    assert len(list(dataset.get_fragments(day))) == 1
    assert dataset.to_table(filter=day).num_rows == sum(time.date() == TIMES[40].date() for time in TIMES)
    assert len(list(dataset.get_fragments(pc.field("time hour") > TIMES[-2]))) == 1


def test_rows_without_a_time_are_in_the_null_partition(table: LakeTable) -> None:
    publish(table, WEATHER, Granularity.HOUR)
    rows = table.to_arrow_dataset().to_table(filter=pc.field("partition_hour").is_null())
    assert rows["time hour"].to_pylist() == [None]
    assert any("__HIVE_DEFAULT_PARTITION__" in file.path for file in table.live_files())


def test_an_exported_file_has_its_size_rows_partition_and_times(table: LakeTable) -> None:
    files = {file.partition.value: file for file in export(table, WEATHER, Granularity.DAY)}
    file = files["2013-01-31"]
    assert file.partition == PartitionKey("partition_date", "2013-01-31")
    assert file.bytes == Path(table.uri, file.path).stat().st_size
    assert (file.rows, file.min_time, file.max_time) == (36, TIMES[2], TIMES[37])
    assert (files[None].min_time, files[None].max_time) == (None, None)


def test_exported_files_are_not_visible_until_published(table: LakeTable) -> None:
    files = export(table, NUMBERS)
    assert table.live_files() == []
    table.publish(APP, 1, files, {})
    assert [(file.path, file.rows, file.bytes) for file in table.live_files()] == [
        (file.path, file.rows, file.bytes) for file in files
    ]


def test_old_files_answer_null_for_columns_added_later(table: LakeTable) -> None:
    publish(table, NUMBERS)
    publish(table, pa.table({"n": [4], "t": pa.array([START], pa.timestamp("us", tz="UTC")), "s": ["x"]}), epoch=2)
    dataset = table.to_arrow_dataset()
    for name in ("t", "s"):
        assert dataset.to_table(filter=pc.field(name).is_null()).num_rows == 3
        assert dataset.to_table(filter=pc.field(name).is_valid()).num_rows == 1
    assert pl.scan_delta(table.uri).filter(pl.col("s").is_null()).collect().height == 3


def test_publishing_from_rows_with_fewer_columns_fills_in_nulls(table: LakeTable) -> None:
    publish(table, pa.table({"n": [4], "s": ["x"]}))
    publish(table, NUMBERS, epoch=2)
    assert table.to_arrow_dataset().to_table(filter=pc.field("s").is_null()).num_rows == 3


def test_commits_tell_who_published_what(table: LakeTable) -> None:
    table.publish(APP, 1, export(table, NUMBERS), {"shard": "shard-0", "rows": 3, "run_id": "r"})
    table.burn(APP, 2, "crashed")
    published = {"app_id": APP, "epoch": 1, "outcome": "published", "shard": "shard-0", "rows": 3, "run_id": "r"}
    burnt = {"app_id": APP, "epoch": 2, "outcome": "aborted", "reason": "crashed", "claim": None}
    assert list(table.commits()) == [(1, published), (2, burnt)]
    assert list(table.commits(after=1)) == [(2, burnt)]


def test_unpublished_files_can_be_discarded_and_published_ones_cannot(table: LakeTable) -> None:
    live, dead = export(table, NUMBERS), export(table, NUMBERS)
    table.publish(APP, 1, live, {})
    with pytest.raises(Conflict, match="is published"):
        table.discard([*dead, *live])
    table.discard(dead)
    table.discard(dead)
    assert not Path(table.uri, dead[0].path).exists()
    assert table.to_arrow_dataset().count_rows() == 3


def test_a_table_that_does_not_exist_is_empty(table: LakeTable) -> None:
    assert not table.exists()
    assert (table.live_files(), list(table.commits()), table.outcome(APP, 1)) == ([], [], EpochOutcome.ABSENT)
    for call in (table.schema, table.partition_columns, table.to_arrow_dataset):
        with pytest.raises(MissingTable, match="weather"):
            call()
    with pytest.raises(MissingTable):
        table.publish(APP, 1, [], {})


def test_burning_before_the_table_exists_is_refused_because_it_would_not_hold(table: LakeTable) -> None:
    with pytest.raises(MissingTable, match="weather"):
        table.burn(APP, 1, "crashed")


def test_the_lake_lists_its_datasets(lake: Lake, tmp_path: Path) -> None:
    assert lake.datasets() == []
    for name in ("b.2", "a"):
        lake.table(name).ensure(NUMBERS.schema, UNPARTITIONED)
    (tmp_path / "lake" / "not-a-table").mkdir()
    assert lake.datasets() == ["a", "b.2"]
    assert lake.table("a") is lake.table("a")
    assert lake.table("a").exists()

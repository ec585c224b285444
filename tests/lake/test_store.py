from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from timestore_pipeline.errors import InvalidInput, RetryLater, UnreadableTable
from timestore_pipeline.lake.parquet import write_parquet, write_parquets
from timestore_pipeline.lake.store import LocalStore, Location
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.thresholds import ParquetOptions


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_appears_whole_under_its_name(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with store.receiving("a=1/f") as path:
        path.write_bytes(b"rows")
        assert not store.exists("a=1/f")
        assert path.name.startswith("_")
    assert (store.read("a=1/f"), store.size("a=1/f"), names(tmp_path)) == (b"rows", 4, ["f"])


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), LocalStore(tmp_path).receiving("a=1/f") as path:
        path.write_bytes(b"ro")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_deleting_twice_is_fine(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "f").touch()
    store.delete("f")
    store.delete("f")
    assert store.list() == store.list("no such folder") == []


def test_a_query_that_fails_midway_leaves_nothing(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    select = "SELECT CASE WHEN i = 900_000 THEN error('stop') ELSE 'x' END AS c FROM range(1_000_000) t(i)"
    with pytest.raises(duckdb.Error, match="stop"):
        write_parquet(con, select, LocalStore(tmp_path), "f.parquet")
    assert names(tmp_path) == []


def test_rows_keep_their_order_inside_the_file(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    folder = tmp_path / "o'hara, 100%"
    select = "SELECT hash(i) AS h FROM range(300_000) t(i) ORDER BY h"
    options = ParquetOptions(compression="snappy", row_group_size=10_000)
    written = write_parquet(con, select, LocalStore(folder), "f.parquet", options)
    read = con.read_parquet(str(folder / "f.parquet")).fetchnumpy()["h"]
    assert (written.rows, written.bytes) == (300_000, (folder / "f.parquet").stat().st_size)
    assert (read[1:] > read[:-1]).all()


@pytest.mark.parametrize("uri", ["gs://bucket/lake", "s3://", "s3:///", "file://", "", "http://host/lake"])
def test_a_place_the_lake_cannot_live_in_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match="not a location for a lake"):
        Lake(uri)


def test_paths_and_file_uris_name_the_same_place(tmp_path: Path) -> None:
    folder = tmp_path / "my lake"
    assert Location.parse(folder.as_uri(), {}) == Location.parse(str(folder), {})
    assert Location.parse("lake", {}).path == str(Path.cwd() / "lake")


def test_a_bucket_is_named_with_its_prefix() -> None:
    location = Location.parse("s3://bucket/some/prefix/", {"aws_region": "eu-west-1"}).child("weather")
    assert (location.uri, location.path) == ("s3://bucket/some/prefix/weather", "bucket/some/prefix/weather")


BY_HOUR = {f"h={hour}/f": pa.table({"n": range(hour * 100, hour * 100 + 100)}) for hour in range(24)}


def test_many_files_are_written_at_once_each_with_its_rows_in_order(tmp_path: Path) -> None:
    sizes = write_parquets(BY_HOUR, LocalStore(tmp_path))
    for path, rows in BY_HOUR.items():
        assert pq.read_table(tmp_path / path, partitioning=None) == rows
        assert sizes[path] == (tmp_path / path).stat().st_size
    assert names(tmp_path) == ["f"] * 24


def test_of_many_files_none_stays_when_one_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "h=7").touch()  # where a folder should be
    with pytest.raises(UnreadableTable, match="is a file"):
        write_parquets(BY_HOUR, LocalStore(tmp_path))
    assert names(tmp_path) == ["h=7"]


def test_of_many_files_none_stays_when_one_cannot_take_its_name(tmp_path: Path) -> None:
    (tmp_path / "h=7" / "f" / "g").mkdir(parents=True)
    with pytest.raises(RetryLater):
        write_parquets(BY_HOUR, LocalStore(tmp_path))
    assert names(tmp_path) == []

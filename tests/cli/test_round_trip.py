"""ingest && flush --now && verify: what goes in as files comes out of the lake, row for row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.cli.running import in_a_process, readings, timestore, timestore_json, write_file


def published(home: Path, dataset: str) -> pa.Table:
    """What an independent reader sees, in the order of the file."""
    table = DeltaTable(home / "lake" / dataset).to_pyarrow_table()
    return table.drop_columns("partition_date").sort_by("value")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson", ".arrow"])
def test_the_lake_holds_the_rows_of_the_file(home: Path, suffix: str) -> None:
    rows = readings(1234)
    path = write_file(home / f"rows{suffix}", rows)
    timestore("ingest", "weather", path, "--batch-rows", "500")
    timestore("flush", "weather", "--now")
    timestore("verify")
    assert published(home, "weather").equals(rows)


def test_each_step_in_a_process_of_its_own(home: Path) -> None:
    rows = readings(1234)
    path = write_file(home / "rows.parquet", rows)
    steps = [("ingest", "d", path, "--batch-rows", "500"), ("flush", "d", "--now"), ("verify",)]
    done = [in_a_process(*step) for step in steps]
    assert [step.returncode for step in done] == [0, 0, 0]
    decided = "dated by at, partitioned by day; columns: at timestamp, value int64, name string"
    assert (done[0].stderr, done[2].stderr) == (f"decided by this first batch: {decided}\n", "")
    assert 'event="flush published" dataset=d epoch=1 trigger=manual' in done[1].stderr
    assert done[1].stderr.count("\n") == 1
    assert published(home, "d").equals(rows)
    assert "every row is accounted for" in done[-1].stdout


def test_a_flush_makes_one_file_per_partition_of_many_batches(home: Path) -> None:
    path = write_file(home / "rows.parquet", readings(100))
    timestore("ingest", "weather", path, "--batch-rows", "5")
    [flush] = timestore_json("flush", "weather", "--now")["flushes"]
    assert (flush["batches"], flush["rows"], flush["files"]) == (20, 100, 2)
    assert (flush["trigger"], flush["state"]) == ("manual", "published")
    assert flush["run_id"].startswith("cli-")

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from tests.lake.exporting import APP, export, publish
from tests.lake.reading import READERS
from timestore_pipeline.lake.actions import logged_partition
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.lake import PartitionKey

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)


def test_an_hour_is_spelt_with_its_zone_and_is_the_same_instant_in_every_reader(table: LakeTable) -> None:
    """Without one, Spark takes it for an hour of its session's time zone."""
    times = pa.array(
        [HOUR.replace(minute=7), datetime(1969, 12, 31, 23, 59, tzinfo=UTC), None], pa.timestamp("us", "UTC")
    )
    publish(table, pa.table({"at": times}), Granularity.HOUR)
    log = Path(table.uri, "_delta_log", f"{1:020d}.json").read_text().splitlines()
    adds = [action["add"] for line in log if "add" in (action := json.loads(line))]
    spelt = {add["partitionValues"]["partition_hour"] for add in adds}
    assert spelt == {"2026-01-01T05:00:00.000000Z", "1969-12-31T23:00:00.000000Z", None}
    for read in READERS.values():
        found = {row["partition_hour"] for row in read(table.uri).to_pylist()}
        assert found == {HOUR, datetime(1969, 12, 31, 23, tzinfo=UTC), None}
    for dataset in (table.to_arrow_dataset(), DeltaTable(table.uri).to_pyarrow_dataset()):
        assert dataset.count_rows(filter=pc.field("partition_hour") == pa.scalar(HOUR, pa.timestamp("us", "UTC"))) == 1


def test_what_the_log_says_of_a_partition_is_what_was_exported(table: LakeTable) -> None:
    """A ledger that is rebuilt from the log has the same hours as before."""
    rows = pa.table({"at": pa.array([HOUR, None], pa.timestamp("us", "UTC"))})
    files = export(table, rows, Granularity.HOUR)
    table.publish(APP, 1, files, {"shard": "shard-0"})
    [commit] = table.published("shard-0")
    assert {file.partition for file in commit.files} == {file.partition for file in files}
    earlier = {"partition_hour": "2026-01-01 05:00:00"}
    assert logged_partition(earlier) == PartitionKey("partition_hour", "2026-01-01 05:00:00")
    assert logged_partition({}) == PartitionKey(None, None)

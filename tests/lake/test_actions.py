from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from tests.lake.exporting import publish
from tests.lake.reading import READERS
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.dataset import Granularity

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

"""Rows for days that were published long ago: they land in their own partition and touch no other."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from tests.defs.flushing import START, build, hourly, published
from timestore_pipeline import StagingManager
from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.wiring import Timestore

PLACE = {"hour": "partition_hour=2013-01-01%2005%3A00%3A00", "day": "partition_date=2013-01-01", "none": ""}


def files(timestore: Timestore) -> set[Path]:
    """Of the table as it is now, relative to its folder."""
    return {Path(file) for file in timestore.lake.table("weather").to_arrow_dataset().files}


def test_a_row_of_an_old_day_lands_in_that_days_partition_and_rewrites_nothing(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(72))
    build(instance, "weather")
    before = files(timestore)
    staging.enqueue("weather", [{"ts": START, "n": 100}])
    build(instance, "weather")
    [late] = files(timestore) - before
    assert before < files(timestore)
    assert late.parent.name == "partition_date=2013-01-01"
    assert published(timestore, "weather") == [*range(72), 100]


def test_the_old_day_is_marked_again_with_what_came_late(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(72))
    build(instance, "weather")
    staging.enqueue("weather", [{"ts": START, "n": 100}, {"ts": START, "n": 101}])
    [mark] = build(instance, "weather").asset_materializations_for_node("finalize_flushes")
    assert (mark.partition, mark.metadata["partition_rows"].value) == ("2013-01-01", 2)


def test_late_and_current_rows_of_one_batch_part_ways(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", [{"ts": START, "n": 1}, {"ts": datetime(2013, 6, 1, tzinfo=UTC), "n": 2}])
    build(instance, "weather")
    assert {file.parent.name for file in files(timestore)} == {"partition_date=2013-01-01", "partition_date=2013-06-01"}
    assert instance.get_materialized_partitions(asset_key("weather")) == {"2013-01-01", "2013-06-01"}


@pytest.mark.parametrize(("granularity", "place"), PLACE.items())
def test_every_granularity_puts_a_late_row_in_its_place(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, granularity: str, place: str
) -> None:
    timestore.set_metadata("weather", {"partition": {"granularity": granularity}})
    staging.enqueue("weather", hourly(24))
    build(instance, "weather")
    before = files(timestore)
    staging.enqueue("weather", [{"ts": START.replace(hour=5), "n": 100}])
    build(instance, "weather")
    [late] = files(timestore) - before
    assert late.parent.name == place

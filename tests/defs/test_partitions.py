"""Which hours, days or months an asset has, and when the definitions have fallen behind the data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from timestore_pipeline.defs.partitions import MOST_WINDOWS, covers, partitions_of
from timestore_pipeline.model.dataset import DatasetMetadata, Granularity
from timestore_pipeline.staging.ledger.dataset_catalog import CatalogEntry
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord

NOW = datetime(2026, 5, 17, 13, 30, tzinfo=UTC)


def entry(
    granularity: Granularity | None = Granularity.DAY, first: str | None = None, last: str | None = None
) -> CatalogEntry:
    column = None if granularity is None else "ts"
    record = DatasetRecord(1, "weather", DatasetMetadata(), None, 1, column, granularity, False, 0, NOW)
    return CatalogEntry(record, first, last or first)


def keys(entry: CatalogEntry) -> dg.TimeWindowPartitionsDefinition:
    found = partitions_of(entry, NOW)
    assert found is not None
    return found


@pytest.mark.parametrize("granularity", [None, Granularity.NONE])
def test_a_dataset_without_partitions_has_none(granularity: Granularity | None) -> None:
    assert partitions_of(entry(granularity), NOW) is None


def test_a_dataset_without_a_time_column_has_none() -> None:
    record = DatasetRecord(1, "names", DatasetMetadata(), None, 1, None, Granularity.DAY, False, 0, NOW)
    assert partitions_of(CatalogEntry(record, None, None), NOW) is None


@pytest.mark.parametrize(
    ("granularity", "value"),
    [
        (Granularity.HOUR, "2024-02-03 04:00:00"),
        (Granularity.DAY, "2024-02-03"),
        (Granularity.MONTH, "2024-02-01"),
    ],
)
def test_keys_are_spelt_as_the_delta_log_spells_partition_values(granularity: Granularity, value: str) -> None:
    assert keys(entry(granularity, value)).has_partition_key(value)


def test_the_range_begins_with_the_first_partition() -> None:
    assert keys(entry(first="2013-08-09")).start == datetime(2013, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("granularity", "current"),
    [(Granularity.HOUR, "2026-05-17 13:00:00"), (Granularity.DAY, "2026-05-17"), (Granularity.MONTH, "2026-05-01")],
)
def test_a_new_dataset_has_the_current_window_only(granularity: Granularity, current: str) -> None:
    assert keys(entry(granularity)).get_partition_keys(current_time=NOW) == [current]


@pytest.mark.parametrize(
    ("granularity", "next_one"),
    [(Granularity.HOUR, "2026-05-17 14:00:00"), (Granularity.DAY, "2026-05-18"), (Granularity.MONTH, "2026-06-01")],
)
def test_the_next_window_is_there_once_it_begins_or_has_data(granularity: Granularity, next_one: str) -> None:
    start = datetime.fromisoformat(next_one).replace(tzinfo=UTC)
    assert next_one not in keys(entry(granularity)).get_partition_keys(current_time=NOW)
    assert next_one in keys(entry(granularity)).get_partition_keys(current_time=start)
    assert next_one in keys(entry(granularity, last=next_one)).get_partition_keys(current_time=NOW)


def test_a_dataset_of_forecasts_alone_has_its_days_and_today() -> None:
    found = keys(entry(first="2026-05-20", last="2026-05-21")).get_partition_keys(current_time=NOW)
    assert (found[0], found[-1]) == ("2026-05-17", "2026-05-21")


@pytest.mark.parametrize(
    ("granularity", "current"),
    [(Granularity.HOUR, "2026-05-17 13:00:00"), (Granularity.DAY, "2026-05-17"), (Granularity.MONTH, "2026-05-01")],
)
def test_the_window_that_has_not_ended_is_in(granularity: Granularity, current: str) -> None:
    found = keys(entry(granularity, "2026-01-01" + " 00:00:00" * (granularity is Granularity.HOUR)))
    assert current in found.get_partition_keys(current_time=NOW)


@pytest.mark.parametrize(
    ("granularity", "ahead"),
    [(Granularity.HOUR, "2026-06-01 05:00:00"), (Granularity.DAY, "2026-12-24"), (Granularity.MONTH, "2031-03-01")],
)
def test_forecasts_are_in(granularity: Granularity, ahead: str) -> None:
    first = "2026-05-01 00:00:00" if granularity is Granularity.HOUR else "2026-05-01"
    assert ahead in keys(entry(granularity, first, ahead)).get_partition_keys(current_time=NOW)


@pytest.mark.parametrize("granularity", [Granularity.HOUR, Granularity.DAY, Granularity.MONTH])
def test_absurd_times_end_at_what_dagster_can_show(granularity: Granularity) -> None:
    found = keys(entry(granularity, "0001-01-01", "9999-12-01"))
    assert len(found.get_partition_keys(current_time=NOW)) <= MOST_WINDOWS + 2


def test_the_range_covers_what_it_was_made_for() -> None:
    dataset = entry(first="2013-08-09")
    assert covers(partitions_of(dataset, NOW), dataset, NOW)
    assert covers(partitions_of(dataset, NOW), dataset, NOW + timedelta(days=400))


def test_older_data_need_a_reload() -> None:
    assert not covers(partitions_of(entry(first="2013-08-09"), NOW), entry(first="2013-08-08"), NOW)
    assert covers(partitions_of(entry(first="2013-08-09"), NOW), entry(first="2013-08-10"), NOW)


def test_a_forecast_further_ahead_needs_a_reload() -> None:
    assert not covers(partitions_of(entry(first="2026-05-09"), NOW), entry(first="2026-05-09", last="2026-07-01"), NOW)


def test_a_first_batch_needs_a_reload() -> None:
    assert not covers(None, entry(first="2013-08-09"), NOW)
    assert covers(None, entry(None), NOW)


def test_another_granularity_needs_a_reload() -> None:
    assert not covers(partitions_of(entry(Granularity.HOUR), NOW), entry(Granularity.DAY), NOW)

"""What is gone from the lake comes back from the archive, once; what is there is not doubled."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from deltalake import DeltaTable

from tests.doors.landing.dropping import drop, folder, numbers, readings, take_in
from timestore_pipeline.doors.landing.replay import Day, Replay, Replayed
from timestore_pipeline.errors import Interrupted, InvalidInput, ReplayInProgress, RowsPresent
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

DAY = 86_400  # rows: one a second


def in_the_lake(settings: Settings, day: Day | None) -> int:
    with Timestore(settings) as store:
        table = store.lake.table("weather").to_arrow_dataset()
        return int(table.count_rows(filter=None if day is None else day.expression()))


def january(settings: Settings, number: int) -> Day:
    with Timestore(settings) as store:
        return Day.of(store.area.ledger.datasets.get("weather"), date(1970, 1, number))


def replay(settings: Settings, day: Day | None = None, files: str = "*") -> list[Replayed]:
    work = Replay(folder(settings), "weather", day, files)
    with work.alone(), StagingManager.open(settings) as staging:
        return list(work.run(work.begin(lambda: in_the_lake(settings, day)), staging))


def delete(settings: Settings, condition: str | None = None) -> None:
    """What an operator does with his own tools."""
    DeltaTable(f"{settings.lake_uri}/weather").delete(condition)


@pytest.fixture
def three_hours(settings: Settings) -> Settings:
    """Two files around the midnight between two days, published."""
    drop(settings, "a.parquet", readings(3_600, DAY - 3_600))
    drop(settings, "b.parquet", readings(7_200, DAY - 10))
    take_in(settings)
    assert len(numbers(settings)) == 10_800
    return settings


def test_a_day_that_is_gone_comes_back_and_the_others_are_not_touched(three_hours: Settings) -> None:
    before = numbers(three_hours)
    second = january(three_hours, 2)
    delete(three_hours, "partition_date = '1970-01-02'")
    assert len(numbers(three_hours)) == 3_610
    assert [one.tally.rows for one in replay(three_hours, second)] == [0, 7_190]
    assert numbers(three_hours) == before


def test_what_is_there_is_not_doubled(three_hours: Settings) -> None:
    with pytest.raises(RowsPresent, match="the lake has 7190 of the rows"):
        replay(three_hours, january(three_hours, 2))
    with pytest.raises(RowsPresent):
        replay(three_hours)
    assert len(numbers(three_hours)) == 10_800


def test_a_replay_can_be_repeated_as_often_as_the_rows_are_gone(three_hours: Settings) -> None:
    for _ in range(2):
        delete(three_hours)
        assert sum(one.tally.rows for one in replay(three_hours)) == 10_800
        assert len(numbers(three_hours)) == 10_800


def test_a_replay_that_was_stopped_goes_on_with_the_files_it_began_with(three_hours: Settings) -> None:
    before = numbers(three_hours)
    delete(three_hours)
    work = Replay(folder(three_hours), "weather", None)
    with work.alone(), StagingManager.open(three_hours) as staging:
        files = work.run(work.begin(lambda: 0), staging)
        next(files)
        work.stop()
        with pytest.raises(Interrupted):
            next(files)
    drop(three_hours, "c.parquet", readings(5, 5 * DAY))
    take_in(three_hours)
    replay(three_hours)
    assert numbers(three_hours) == before + [5 * DAY + n for n in range(5)]


def test_two_replays_at_once_are_refused(three_hours: Settings) -> None:
    work = Replay(folder(three_hours), "weather", None)
    with work.alone(), pytest.raises(ReplayInProgress), work.alone():
        pass


def test_a_file_that_was_damaged_in_the_archive_is_told(three_hours: Settings) -> None:
    delete(three_hours)
    first, _ = folder(three_hours).archived("weather")
    first.write_bytes(first.read_bytes()[:-1])
    bad, good = replay(three_hours)
    assert (bad.error is not None, bad.tally.rows, good.tally.rows) == (True, 0, 7_200)
    assert "is not the file that was archived" in str(bad.error)


def test_only_files_that_match_are_replayed(three_hours: Settings) -> None:
    delete(three_hours)
    assert [one.tally.rows for one in replay(three_hours, files="b.*")] == [7_200]


def test_a_file_whose_times_are_text_knows_its_days(settings: Settings, tmp_path: Path) -> None:
    table = pa.table({"at": ["1970-01-01 23:59:59.999999", "1970-01-02 00:00:00", None], "n": [1, 2, 3]})
    pyarrow.csv.write_csv(table, drop(settings, "a.csv", b""))
    take_in(settings)
    assert numbers(settings) == [1, 2, 3]
    first = january(settings, 1)
    delete(settings, "n = 1")
    assert [one.tally.rows for one in replay(settings, first)] == [1]


def test_a_dataset_without_a_time_has_no_days(settings: Settings) -> None:
    drop(settings, "a.parquet", pa.table({"n": [1]}))
    take_in(settings)
    with pytest.raises(InvalidInput, match="has no time column"):
        january(settings, 1)


def test_a_replayed_file_has_the_columns_of_its_folders(settings: Settings) -> None:
    for station in ("JFK", "LGA"):
        drop(settings, f"station={station}/a.parquet", readings(1))
    take_in(settings)
    assert numbers(settings) == [0, 0]
    delete(settings)
    replay(settings)
    assert numbers(settings) == [0, 0]
    table = DeltaTable(f"{settings.lake_uri}/weather").to_pyarrow_dataset().to_table()
    assert sorted(table["station"].to_pylist()) == ["JFK", "LGA"]

"""The reader sees what any reader of any version would have seen."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.tools.crashtest.published import batches, publish
from timestore_pipeline.tools.crashtest.reader import PublishedTable, note_sightings, sightings


@pytest.fixture
def table(tmp_path: Path) -> PublishedTable:
    return PublishedTable(tmp_path / "trades", tmp_path / "diary")


def test_a_table_that_does_not_exist_yet_shows_nothing(table: PublishedTable) -> None:
    assert table.look() == []


def test_whole_batches_one_after_the_other_are_fine(table: PublishedTable, tmp_path: Path) -> None:
    for batch in batches(3):
        publish(tmp_path, batch.table)
        assert table.look() == []
    assert len(table.seen) == 3


def test_half_a_batch_is_seen_although_the_other_half_follows(table: PublishedTable, tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table.slice(0, 1))
    publish(tmp_path, batch.table.slice(1))
    assert any("shows 1 rows" in sighting for sighting in table.look())


def test_a_batch_that_comes_a_second_time_is_seen(table: PublishedTable, tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table)
    assert table.look() == []
    publish(tmp_path, batch.table)
    (sighting,) = table.look()
    assert sighting == f"version 1 of trades shows batch 0/{batch.number} a second time"


def test_a_row_twice_within_one_commit_is_seen(table: PublishedTable, tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table, batch.table.slice(0, 1))
    assert len(table.look()) == 1


def test_a_published_file_that_is_gone_is_seen(table: PublishedTable, tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table)
    next((tmp_path / "trades").glob("*.parquet")).unlink()
    (sighting,) = table.look()
    assert "which is not there" in sighting


def test_a_compaction_shows_no_batch_again(table: PublishedTable, tmp_path: Path) -> None:
    for batch in batches(3):
        publish(tmp_path, batch.table)
    DeltaTable(tmp_path / "trades").optimize.compact()
    assert table.look() == []


def test_the_next_life_goes_on_where_the_diary_ends(table: PublishedTable, tmp_path: Path) -> None:
    first, second = batches(2)
    publish(tmp_path, first.table)
    assert table.look() == []
    table.remember()
    publish(tmp_path, second.table)
    assert table.look() == []
    table.diary.write_text(table.diary.read_text() + "[1, [[0")  # it was killed over the second
    again = PublishedTable(table.folder, table.diary)
    assert again.seen == {(0, first.number)}
    assert again.look() == []
    publish(tmp_path, first.table)
    assert len(again.look()) == 1


def test_commits_that_went_before_they_were_read_are_seen(table: PublishedTable, tmp_path: Path) -> None:
    for batch in batches(2):
        publish(tmp_path, batch.table)
    DeltaTable(table.folder).create_checkpoint()
    (table.folder / "_delta_log" / f"{0:020}.json").unlink()
    assert table.look() == ["2 commits of trades went before they were read"]


def test_the_reader_is_behind_by_the_age_of_what_its_diary_lacks(table: PublishedTable, tmp_path: Path) -> None:
    assert table.behind() == timedelta(0)
    publish(tmp_path, batches(1)[0].table)
    commit = table.folder / "_delta_log" / f"{0:020}.json"
    hour_ago = commit.stat().st_mtime - 3600
    os.utime(commit, (hour_ago, hour_ago))
    assert table.behind() > timedelta(minutes=59)
    assert table.look() == []
    assert table.behind() == timedelta(0)


def test_a_sighting_is_kept_once_however_often_it_is_noted(tmp_path: Path) -> None:
    for _ in range(2):
        note_sightings(tmp_path, ["version 1 of trades shows batch 0/1 a second time"])
    assert len(sightings(tmp_path)) == 1

"""The history shows the origin of every row."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from tests.lake.exporting import APP, NUMBERS, export, publish
from timestore_pipeline.lake.history import TableHistory
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.dataset import Granularity


def history(table: LakeTable) -> TableHistory:
    found = table.history()
    assert found is not None
    return found


def test_a_table_that_does_not_exist_has_no_history(table: LakeTable) -> None:
    assert table.history() is None


def test_a_publish_is_a_commit_with_its_files_and_what_it_says_of_itself(table: LakeTable) -> None:
    publish(table, NUMBERS, epoch=4)
    commit = history(table).commits[-1]
    assert (commit.published, commit.changes_data) == (True, True)
    assert commit.metadata["epoch"] == 4
    assert list(commit.added.values()) == [3]
    assert history(table).live.keys() == commit.added.keys() == history(table).stored.keys()


def test_creating_and_burning_change_no_data(table: LakeTable) -> None:
    publish(table, NUMBERS)
    table.burn(APP, 2, "test")
    first, *_, last = history(table).commits
    assert [commit.changes_data for commit in (first, last)] == [False, False]
    assert not last.published


def test_a_compaction_moves_rows_and_changes_no_data(table: LakeTable) -> None:
    publish(table, NUMBERS, epoch=1)
    publish(table, NUMBERS, epoch=2)
    DeltaTable(table.uri).optimize.compact()
    commit = history(table).commits[-1]
    assert (len(commit.removed), list(commit.added.values()), commit.changes_data) == (2, [6], False)


def test_a_foreign_write_is_a_commit_without_our_metadata(table: LakeTable) -> None:
    publish(table, NUMBERS)
    write_deltalake(table.uri, NUMBERS, mode="append")
    commit = history(table).commits[-1]
    assert (commit.metadata, commit.changes_data) == ({}, True)


def test_a_delete_changes_data(table: LakeTable) -> None:
    publish(table, NUMBERS)
    DeltaTable(table.uri).delete("n = 2")
    assert history(table).commits[-1].changes_data


def test_paths_are_the_same_in_log_snapshot_and_folder(table: LakeTable) -> None:
    hour = pa.table({"at": pa.array([datetime(2013, 1, 1, 5, tzinfo=UTC)], pa.timestamp("us", "UTC"))})
    publish(table, hour, Granularity.HOUR)
    found = history(table)
    assert found.live.keys() == found.stored.keys() == found.commits[-1].added.keys()


def test_a_file_that_is_not_live_is_stored(table: LakeTable) -> None:
    [file] = export(table, NUMBERS)
    found = history(table)
    assert (found.stored[file.path], found.live) == (file.bytes, {})

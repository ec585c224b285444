"""Processes killed at every step of a segment's life, and what a takeover finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.staging.rows import batches_in, killed_at, killed_segment
from timestore_pipeline.errors import UnreadableSegment
from timestore_pipeline.staging.directory import write_ahead_log
from timestore_pipeline.staging.segments import remove, replay


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weather" / "00ab.duckdb"


def test_every_committed_row_is_recovered(path: Path) -> None:
    killed_segment(path, (3, 2000, 1))
    assert write_ahead_log(path).exists()
    replay(path, "weather", {0: 3, 1: 2000, 2: 1})
    assert batches_in(path) == {0: 3, 1: 2000, 2: 1}
    assert not write_ahead_log(path).exists()


def test_taking_over_twice_changes_nothing(path: Path) -> None:
    killed_segment(path, (3,))
    replay(path, "weather", {0: 3})
    replay(path, "weather", {0: 3})
    assert batches_in(path) == {0: 3}


def test_a_transaction_that_was_not_committed_leaves_nothing(path: Path) -> None:
    body = """
segment = open_segment(open_engine(), path)
append(segment, 5)
segment._connection.execute("BEGIN")
append(segment, 7)
die()
"""
    killed_at(path, body)
    replay(path, "weather", {0: 5})
    assert batches_in(path) == {0: 5}


def test_killed_between_commit_and_answer_the_rows_are_there(path: Path) -> None:
    body = """
segment = open_segment(open_engine(), path)
segments.sync = die
append(segment, 5)
"""
    killed_at(path, body)
    replay(path, "weather")
    assert batches_in(path) == {0: 5}


@pytest.mark.parametrize("step", ["_create_tables", "schema_to_json"])
def test_killed_while_building_nothing_stands_under_the_final_name(path: Path, step: str) -> None:
    killed_at(path, f"segments.{step} = die\nopen_segment(open_engine(), path)")
    assert not path.exists()
    assert path.with_suffix(".building").exists()
    remove(path)
    assert list(path.parent.iterdir()) == []


def test_killed_right_after_the_rename_the_file_is_a_whole_and_empty_segment(path: Path) -> None:
    body = """
sync = segments.sync
segments.sync = lambda folder: die() if path.exists() else sync(folder)
open_segment(open_engine(), path)
"""
    killed_at(path, body)
    replay(path, "weather")
    assert batches_in(path) == {}


@pytest.mark.parametrize("kept", [0, 10, 1000])
def test_a_log_that_lost_acknowledged_rows_is_kept_as_it_is(path: Path, kept: int) -> None:
    killed_segment(path, (3, 500, 500))
    log = write_ahead_log(path)
    damaged = log.read_bytes()[:kept]
    log.write_bytes(damaged)
    before = path.read_bytes()
    with pytest.raises(UnreadableSegment, match="no longer holds batches"):
        replay(path, "weather", {0: 3, 1: 500, 2: 500})
    assert (path.read_bytes(), log.read_bytes()) == (before, damaged)


def test_a_torn_end_that_nobody_was_promised_is_dropped(path: Path) -> None:
    killed_segment(path, (3, 500))
    log = write_ahead_log(path)
    log.write_bytes(log.read_bytes()[:-100])
    replay(path, "weather", {0: 3})
    assert batches_in(path) == {0: 3}


def test_a_log_with_a_flipped_byte_is_unreadable_and_kept(path: Path) -> None:
    killed_segment(path, (500, 500))
    log = write_ahead_log(path)
    content = bytearray(log.read_bytes())
    content[len(content) // 4] ^= 0xFF
    log.write_bytes(content)
    with pytest.raises(UnreadableSegment):
        replay(path, "weather", {0: 500, 1: 500})
    assert log.read_bytes() == content

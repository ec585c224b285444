"""Processes killed at every step of making a segment: under its final name there is all of it, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.staging.rows import batches_in, killed_at
from timestore_pipeline.staging.segments import building, remove


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weather" / "00ab.duckdb"


@pytest.mark.parametrize("step", ["_create_tables", "schema_to_json", "group_rows", "sync"])
def test_killed_while_building_nothing_stands_under_the_final_name(path: Path, step: str) -> None:
    killed_at(path, f"segments.{step} = die\nwrite(path, *sizes)")
    assert not path.exists()
    assert building(path).exists()
    remove(path)
    assert list(path.parent.iterdir()) == []


def test_killed_before_the_rename_nothing_stands_under_the_final_name(path: Path) -> None:
    killed_at(path, "Path.rename = die\nwrite(path, *sizes)")
    assert not path.exists()
    remove(path)
    assert list(path.parent.iterdir()) == []


def test_killed_right_after_the_rename_the_file_is_whole(path: Path) -> None:
    body = """
sync = segments.sync
segments.sync = lambda folder: die() if path.exists() else sync(folder)
write(path, *sizes)
"""
    killed_at(path, body, (5, 2000))
    assert batches_in(path) == {0: 5, 1: 2000}
    assert list(path.parent.iterdir()) == [path]

"""What changes in the place of a table is seen without opening it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from timestore_pipeline.lake.place import state


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """With a table `d` whose log has one commit."""
    log = tmp_path / "lake" / "d" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("damaged")
    return tmp_path / "lake"


def mend_the_log(lake: Path) -> None:
    (lake / "d" / "_delta_log" / "00000000000000000000.json").write_text("mended")


def commit(lake: Path) -> None:
    (lake / "d" / "_delta_log" / "00000000000000000001.json").write_text("{}")


def move_the_table(lake: Path) -> None:
    (lake / "d").rename(lake / "other")


def correct_the_mode(lake: Path) -> None:
    lake.chmod(0o700 if lake.stat().st_mode & 0o077 else 0o755)


def put_a_file_in_its_place(lake: Path) -> None:
    lake.rename(lake.with_name("moved"))
    lake.write_text("in the way")


@pytest.mark.parametrize("change", [mend_the_log, commit, move_the_table, correct_the_mode, put_a_file_in_its_place])
def test_a_change_is_another_state(lake: Path, change: Callable[[Path], None]) -> None:
    before = state(lake, "d")
    assert state(lake, "d") == before
    change(lake)
    assert state(lake, "d") != before


def test_other_tables_and_files_beside_the_lake_do_not_matter(lake: Path) -> None:
    before = state(lake, "d")
    (lake / "e").mkdir()
    (lake.parent / "file").touch()
    assert state(lake, "d") == before


def test_a_bucket_is_not_looked_at() -> None:
    assert state(None, "d") == ()

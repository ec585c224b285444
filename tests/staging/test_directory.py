"""The folders of a staging directory and what they weigh."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from timestore_pipeline.errors import InvalidSettings
from timestore_pipeline.staging.directory import (
    DiskUsage,
    FilesystemSpace,
    StagingDirectory,
    file_sizes,
    folder_bytes,
)


def test_preparing_makes_the_folders_and_may_be_repeated(tmp_path: Path) -> None:
    directory = StagingDirectory(tmp_path / "deep" / "er")
    directory.prepare()
    directory.prepare()
    assert directory.processes.is_dir()
    assert list(directory.spool.iterdir()) == []
    assert directory.datasets() == []


def test_threads_may_prepare_at_the_same_time(tmp_path: Path) -> None:
    directory = StagingDirectory(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(directory.prepare) for _ in range(64)]:
            done.result()


def test_a_directory_that_cannot_be_made_is_a_problem_of_its_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSettings, match=r"TIMESTORE_STAGING_DIRECTORY=.*file"):
        StagingDirectory(tmp_path / "file").prepare()


@pytest.mark.parametrize("folder", ["quarantine", "segments"])
def test_a_folder_on_another_filesystem_is_refused(tmp_path: Path, folder: str) -> None:
    elsewhere = other_filesystem(tmp_path)
    (tmp_path / folder).symlink_to(elsewhere)
    with pytest.raises(InvalidSettings, match=f"{folder}.* must lie on one filesystem"):
        StagingDirectory(tmp_path).prepare()


def other_filesystem(than: Path) -> Path:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == than.stat().st_dev:
        pytest.skip(f"needs a second filesystem at {elsewhere}")
    return elsewhere


def test_a_folder_weighs_what_lies_directly_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.duckdb").write_bytes(b"12345")
    (tmp_path / "a.building.wal").write_bytes(b"123")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a.duckdb")
    assert folder_bytes(tmp_path) == 8
    assert DiskUsage(segments=5, journals=3).total == 8


def test_a_folder_that_is_not_there_weighs_nothing(tmp_path: Path) -> None:
    assert folder_bytes(tmp_path / "none") == 0


def test_a_file_unlinked_while_counting_weighs_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"1")
    sizes = file_sizes(tmp_path)
    first, _ = next(sizes)
    for path in tmp_path.iterdir():
        path.unlink()
    assert list(sizes) == []
    assert first in ("a", "b")


def test_the_disk_is_larger_than_what_lies_on_it(tmp_path: Path) -> None:
    assert StagingDirectory(tmp_path).volume().size > 1_000_000


@pytest.mark.parametrize(
    ("size", "limit", "cannot"), [(100, 100, True), (100, 99, False), (100, 0, False), (0, 0, False), (0, 9, False)]
)
def test_a_filesystem_that_does_not_say_its_size_takes_any_limit(size: int, limit: int, cannot: bool) -> None:
    assert FilesystemSpace(size, size).cannot_hold(limit) is cannot


def test_a_file_where_a_folder_should_be_takes_no_space(tmp_path: Path) -> None:
    (tmp_path / "weather").write_bytes(b"x")
    assert folder_bytes(tmp_path / "weather") == 0


def test_journals_are_listed_oldest_first_and_nothing_else(tmp_path: Path) -> None:
    directory = StagingDirectory(tmp_path)
    assert directory.journal_files() == []
    assert not directory.holds_rows()
    directory.prepare()
    for name in ("b.journal", "a.journal", "c.other"):
        (directory.journals / name).touch()
    assert directory.journal_files() == [directory.journal("a"), directory.journal("b")]
    assert directory.holds_rows()

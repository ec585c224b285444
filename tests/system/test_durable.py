"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from timestore_pipeline.system.durable import make_folder, replacing, sync


def test_a_replaced_file_has_its_old_content_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "report"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "report"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(target) as temporary:
        temporary.with_name("none").read_text()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_made_with_its_parents_and_may_be_there_already(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_missing_file_cannot_be_synced(tmp_path: Path) -> None:
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "none")

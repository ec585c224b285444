"""Rendered files replace the old ones whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from timestore_pipeline.errors import UnwritableOutput
from timestore_pipeline.monitoring.alerting.rendering import write_files


def test_files_are_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    written = write_files(tmp_path / "a" / "b", {"x.yml": "é", "y.json": "{}"})
    assert [path.read_text(encoding="utf-8") for path in written] == ["é", "{}"]


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    for text in ("old", "new"):
        write_files(tmp_path, {"x.yml": text})
    assert [path.name for path in tmp_path.iterdir()] == ["x.yml"]
    assert (tmp_path / "x.yml").read_text() == "new"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableOutput, match="file"):
        write_files(tmp_path / "file", {"x.yml": ""})


def test_a_text_that_cannot_replace_leaves_the_old_one_and_no_rest(tmp_path: Path) -> None:
    (tmp_path / "x.yml").mkdir()
    with pytest.raises(UnwritableOutput, match=r"x\.yml"):
        write_files(tmp_path, {"x.yml": "text"})
    assert [path.name for path in tmp_path.iterdir()] == ["x.yml"]

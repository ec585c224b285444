"""An import follows no link below the tree it was given, and deletes nothing through one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.hostile_folders import nested
from tests.doors.legacy.trees import write
from timestore_pipeline.doors.legacy.importing import Import, Imported, ImportJournal, ImportResult
from timestore_pipeline.doors.legacy.tree import LegacyTree
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.settings import Settings


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write(tmp_path / "tree" / "day" / "a.parquet", 3)
    return tmp_path / "tree"


def importing(settings: Settings, tree: LegacyTree) -> list[Imported]:
    with StagingManager.open(settings) as staging:
        journal = ImportJournal(settings.staging_directory, "weather")
        return list(Import(staging, "weather", tree, journal, settings.staging_directory / "spool", delete=True).run())


def test_links_are_named_and_what_they_lead_to_stays(settings: Settings, tree: Path, outside: Path) -> None:
    write(outside / "b.parquet", 3)
    (tree / "folder").symlink_to(outside)
    (tree / "file.parquet").symlink_to(outside / "b.parquet")
    (tree / "gone.parquet").symlink_to("nowhere")
    done = {one.file.shown: one for one in importing(settings, LegacyTree.at(str(tree), {}))}
    assert {name for name, one in done.items() if one.result is ImportResult.FAILED} == {
        "folder",
        "file.parquet",
        "gone.parquet",
    }
    assert all("links are not followed" in str(done[name].error) for name in ("folder", "file.parquet"))
    assert done["day/a.parquet"].result is ImportResult.IMPORTED
    assert (outside / "b.parquet").exists()
    assert not (tree / "day" / "a.parquet").exists()


def test_nothing_is_deleted_through_a_folder_that_became_a_link(tree: Path, outside: Path) -> None:
    listed = LegacyTree.at(str(tree), {})
    write(outside / "a.parquet", 3)
    (tree / "day").rename(tree / "aside")
    (tree / "day").symlink_to(outside)
    [file] = listed.files
    with pytest.raises(OSError, match="link"):
        listed.is_unchanged(file)
    with pytest.raises(OSError, match="link"):
        listed.delete(file)
    assert (outside / "a.parquet").exists()


def test_folders_nested_without_end_are_named(settings: Settings, tree: Path) -> None:
    with nested(tree / "deep", 1_200):
        deep, good = sorted(importing(settings, LegacyTree.at(str(tree), {})), key=lambda one: one.result)
    assert (deep.result, good.result) == (ImportResult.FAILED, ImportResult.IMPORTED)
    assert "it is nested deeper than" in str(deep.error)

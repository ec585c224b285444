"""Existing files get in once, with what their paths say, and stay where they are."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.doors.legacy.trees import import_tree, numbers, published, write
from timestore_pipeline.doors.legacy.importing import Import, ImportJournal, ImportResult
from timestore_pipeline.doors.legacy.tree import LegacyTree
from timestore_pipeline.errors import AccessDenied, GuardrailExceeded, Interrupted
from timestore_pipeline.ingest.whole_file import content_digest, open_staging
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def results(settings: Settings, tree: Path) -> list[tuple[str, str]]:
    return [(one.file.shown, one.result.value) for one in import_tree(settings, tree)]


def test_a_tree_gets_in_with_the_columns_of_its_paths(settings: Settings, tree: Path) -> None:
    write(tree / "station=JFK" / "a.parquet", 2)
    write(tree / "station=LGA" / "a.parquet", 2, first=2)
    write(tree / "station=__HIVE_DEFAULT_PARTITION__" / "a.parquet", 1, first=4)
    import_tree(settings, tree)
    table = published(settings)
    assert table["station"].to_pylist() == ["JFK", "JFK", "LGA", "LGA", None]
    assert table["n"].to_pylist() == [0, 1, 2, 3, 4]
    assert table.schema.field("n").type == pa.int64()


def test_the_same_rows_in_another_folder_are_other_rows(settings: Settings, tree: Path) -> None:
    for station in ("JFK", "LGA"):
        write(tree / f"station={station}" / "a.parquet", 1)
    import_tree(settings, tree)
    assert sorted(published(settings)["station"].to_pylist()) == ["JFK", "LGA"]


def test_a_second_import_adds_nothing_and_the_source_stays(settings: Settings, tree: Path) -> None:
    path = write(tree / "a.parquet", 3)
    assert results(settings, tree) == [("a.parquet", "imported")]
    assert results(settings, tree) == [("a.parquet", "skipped")]
    assert numbers(settings) == [0, 1, 2]
    assert path.exists()


def test_a_part_and_then_the_whole_count_once(settings: Settings, tree: Path) -> None:
    write(tree / "station=JFK" / "a.parquet", 2)
    write(tree / "station=LGA" / "b.parquet", 2, first=2)
    import_tree(settings, tree / "station=JFK")
    import_tree(settings, tree)
    assert numbers(settings) == [0, 1, 2, 3]


def test_an_import_counts_once_when_its_keys_are_forgotten(settings: Settings, tree: Path) -> None:
    write(tree / "a.parquet", 3)
    import_tree(settings, tree)
    assert numbers(settings) == [0, 1, 2]
    with Timestore(settings) as store:
        assert store.area.ledger.published.prune("weather", clock.now() + timedelta(days=1)) == 1
    assert results(settings, tree) == [("a.parquet", "skipped")]


def test_a_bad_file_is_reported_and_the_others_are_imported(settings: Settings, tree: Path) -> None:
    write(tree / "good.parquet", 3)
    (tree / "bad.parquet").write_text("this is none")
    bad, good = import_tree(settings, tree, delete=True)
    assert (bad.result, good.result) == (ImportResult.FAILED, ImportResult.IMPORTED)
    assert str(tree / "bad.parquet") in str(bad.error)
    assert [path.name for path in tree.iterdir()] == ["bad.parquet"]
    assert numbers(settings) == [0, 1, 2]


def test_a_file_that_may_not_be_deleted_is_named_and_its_rows_are_durable(
    settings: Settings, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tree / "a.parquet", 3)
    monkeypatch.setattr(LegacyTree, "delete", _denied)
    with pytest.raises(AccessDenied, match=r"a\.parquet cannot be deleted"):
        import_tree(settings, tree, delete=True)
    assert numbers(settings) == [0, 1, 2]


def _denied(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_file_that_changed_since_it_was_listed_is_not_deleted(settings: Settings, tree: Path) -> None:
    path = write(tree / "a.parquet", 3)
    import_tree(settings, tree)
    listed = LegacyTree.at(str(tree), {})
    content = path.read_bytes()
    write(path, 4)
    os.utime(path, (0, 0))
    journal = ImportJournal(settings.staging_directory, "weather")
    journal.add(content_digest(path), 4)
    with open_staging(settings) as staging:
        [done] = Import(staging, "weather", listed, journal, settings.home, delete=True).run()
    assert (done.result, path.exists(), path.read_bytes() == content) == (ImportResult.SKIPPED, True, False)


def test_without_room_it_stops_and_later_goes_on(settings: Settings, tree: Path) -> None:
    write(tree / "a.parquet", 30_000)
    tight = {"staging_max_dataset_bytes": 200_000, "staging_flush_max_bytes": 100_000, "staging_guardrail_mode": "hard"}
    with pytest.raises(GuardrailExceeded):
        import_tree(Settings.build(**{**settings.model_dump(), **tight}), tree)
    [done] = import_tree(settings, tree)
    assert done.tally.duplicates > 0
    assert numbers(settings) == list(range(30_000))


def test_an_import_that_is_stopped_goes_on_where_it_was(settings: Settings, tree: Path) -> None:
    for number in range(3):
        write(tree / f"{number}.parquet", 3, first=3 * number)
    journal = ImportJournal(settings.staging_directory, "weather")
    with open_staging(settings) as staging:
        work = Import(staging, "weather", LegacyTree.at(str(tree), {}), journal, settings.home)
        files = work.run()
        assert next(files).result is ImportResult.IMPORTED
        work.stop()
        with pytest.raises(Interrupted):
            next(files)
    assert [result for _, result in results(settings, tree)] == ["skipped", "imported", "imported"]
    assert numbers(settings) == list(range(9))


def test_a_line_of_the_journal_that_was_cut_short_counts_for_nothing(settings: Settings) -> None:
    journal = ImportJournal(settings.staging_directory, "weather")
    journal.add("a" * 64, 1)
    [path] = (settings.staging_directory / "legacy").iterdir()
    path.write_text(path.read_text() + f"\n{'b' * 64} 1")
    journal.add("c" * 64, 1)
    again = ImportJournal(settings.staging_directory, "weather")
    assert [letter * 64 in again for letter in "abc"] == [True, False, True]

"""Which files of a tree count, and what its folders' names say."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.doors.legacy.trees import write
from timestore_pipeline.doors.legacy.tree import LegacyTree
from timestore_pipeline.errors import NotImportable


def types_of(tree: Path, *folders: str) -> dict[str, pa.DataType]:
    for folder in folders:
        write(tree / folder / "a.parquet", 1)
    return dict(LegacyTree.at(str(tree), {}).column_types())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-20"], pa.int64()),
        (["01", "12"], pa.string()),
        (["1", "JFK"], pa.string()),
        (["2013-01-01", "2013-12-31"], pa.date32()),
        (["2013-01-01", "20130102"], pa.string()),
        (["123456789012345678901234567890"], pa.string()),
        (["__HIVE_DEFAULT_PARTITION__", "7"], pa.int64()),
        (["__HIVE_DEFAULT_PARTITION__"], pa.string()),
    ],
)
def test_a_columns_type_changes_none_of_its_values(tree: Path, values: list[str], expected: pa.DataType) -> None:
    assert types_of(tree, *(f"x={value}" for value in values)) == {"x": expected}


def test_the_partition_columns_of_our_own_tables_are_left_out(tree: Path) -> None:
    assert types_of(tree, "partition_date=2013-01-01/station=JFK") == {"station": pa.string()}


def test_values_are_decoded(tree: Path) -> None:
    write(tree / "name=New%20York" / "a.parquet", 1)
    [file] = LegacyTree.at(str(tree), {}).files
    assert file.columns == {"name": "New York"}


def test_a_part_of_a_tree_is_read_as_the_whole_is(tree: Path) -> None:
    path = write(tree / "station=JFK" / "a.parquet", 1)
    for root in (tree, tree / "station=JFK", path):
        [file] = LegacyTree.at(str(root), {}).files
        assert (file.columns, file.path) == ({"station": "JFK"}, str(path))


def test_only_finished_parquet_files_count(tree: Path) -> None:
    for name in ("b.parquet", "_temporary/c.parquet", ".d.parquet", "e.csv", "F.PARQUET"):
        write(tree / name, 1)
    assert [file.shown for file in LegacyTree.at(str(tree), {}).files] == ["F.PARQUET", "b.parquet"]


def test_a_tree_without_parquet_files_is_refused(tree: Path) -> None:
    with pytest.raises(NotImportable, match="there is no Parquet file"):
        LegacyTree.at(str(tree), {})


def test_a_delta_table_is_refused(tree: Path) -> None:
    write(tree / "a.parquet", 1)
    (tree / "_delta_log").mkdir()
    (tree / "_delta_log" / "00000000000000000000.json").touch()
    with pytest.raises(NotImportable, match="is a Delta table"):
        LegacyTree.at(str(tree), {})


def test_a_part_of_a_delta_table_is_refused_whatever_leads_there(tree: Path) -> None:
    write(tree / "table" / "day=1" / "a.parquet", 1)
    (tree / "table" / "_delta_log").mkdir()
    (tree / "link").symlink_to(tree / "table")
    for place in ("table/day=1", "link/day=1", "link/day=1/a.parquet"):
        with pytest.raises(NotImportable, match="table is a Delta table"):
            LegacyTree.at(str(tree / place), {})

"""Folder names become columns that say what the folders say, or are refused."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from tests.ingest.text_files import declared, known
from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.formats.path_columns import pairs, path_columns, with_path_columns
from timestore_pipeline.ingest.formats.reading import UNKNOWN, Reading

ROWS = pa.table({"v": [1, 2]})


def added(value: str | None, reading: Reading = UNKNOWN, rows: pa.Table = ROWS) -> list[object]:
    found: list[object] = with_path_columns({"x": value}, reading, {})(rows).column("x").to_pylist()
    return found


def test_pairs_are_decoded_and_everything_else_is_no_column() -> None:
    folders = ["2013", "station=S%C3%A3o%2FPaulo", "a=__HIVE_DEFAULT_PARTITION__", "e=", "partition_date=2013-01-01"]
    assert path_columns(folders) == {"station": "São/Paulo", "a": None, "e": ""}
    assert pairs({"b": "1", "a": None}) == ["a=__HIVE_DEFAULT_PARTITION__", "b=1"]


@pytest.mark.parametrize("folders", [["x=%FF"], ["x=1", "x=2"]])
def test_a_folder_that_says_nothing_clear_is_refused(folders: list[str]) -> None:
    with pytest.raises(InvalidData, match=r"x") as caught:
        path_columns(folders)
    assert caught.value.hint


def test_a_value_is_text_unless_the_dataset_knows_better() -> None:
    assert added("07") == added("07", known(x=pa.string())) == ["07", "07"]
    assert added("7", known(x=pa.int64())) == added("07", declared(x="int64")) == [7, 7]
    assert added("2013-01-01", known(x=pa.date32())) == [date(2013, 1, 1)] * 2
    assert added(None, known(x=pa.int64())) == [None, None]
    with pytest.raises(InvalidData, match="column 'x' the value '07', and the column is int64 in the dataset"):
        added("07", known(x=pa.int64()))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["7", "7"]),
        pa.array([7, 7], pa.int16()),
        pa.array(["7", "7"]).dictionary_encode(),
        pa.array([7.0, 7.0]),
    ],
)
def test_a_file_may_repeat_what_its_folder_says(column: pa.Array) -> None:
    assert added("7", rows=pa.table({"x": column})) == column.to_pylist()


@pytest.mark.parametrize(
    "column", [pa.array(["7", "8"]), pa.array([7, None]), pa.array([8, 8]), pa.array([True, True])]
)
def test_a_file_that_contradicts_its_folder_is_refused(column: pa.Array) -> None:
    with pytest.raises(InvalidData, match="a folder gives column 'x' the value '7', and the file has"):
        added("7", rows=pa.table({"x": column}))

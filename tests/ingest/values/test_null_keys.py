"""A stream or a file of Arrow with a null for a map's key is refused by column and row, and ends no process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.ingest.map_streams import BAD, GOOD, LISTED, MAP, stream
from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.formats.sources import open_source


def read(path: Path, content: bytes) -> pa.Table:
    path.write_bytes(content)
    return pa.concat_tables(table for _, table in open_source(path).batches(1_000))


SHAPES: dict[str, tuple[pa.DataType, pa.DataType, Callable[[Any], Any], str]] = {
    "a column": (MAP, LISTED, lambda pairs: pairs, "v{key}"),
    "in a list": (pa.list_(MAP), pa.list_(LISTED), lambda pairs: [[], pairs], "v[]{key}"),
    "in a struct": (
        pa.struct([("x", pa.int64()), ("m", MAP)]),
        pa.struct([("x", pa.int64()), ("m", LISTED)]),
        lambda pairs: {"x": 1, "m": pairs},
        "v.m{key}",
    ),
    "in a map": (
        pa.map_(pa.int64(), MAP),
        pa.list_(pa.struct([("key", pa.int64()), ("value", LISTED)])),
        lambda pairs: [{"key": 1, "value": pairs}],
        "v{value}{key}",
    ),
}


@pytest.mark.parametrize("suffix", ["arrows", "arrow"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_null_key_is_refused_by_path_and_row(shape: str, suffix: str, tmp_path: Path) -> None:
    kind, listed, wrap, path = SHAPES[shape]
    content = stream(kind, listed, [wrap(GOOD), None], [wrap(GOOD), wrap(BAD)])
    with pytest.raises(InvalidData, match="null was taken for a key, which no map can have") as caught:
        read(tmp_path / f"a.{suffix}", content)
    assert str(caught.value).startswith(f"column {path!r}, row 3: ")
    assert caught.value.hint


def test_a_null_entry_is_a_null_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"column 'v\{key\}', row 0: null"):
        read(tmp_path / "a.arrows", stream(MAP, LISTED, [[None]]))


@pytest.mark.parametrize("shape", SHAPES)
def test_other_maps_are_read(shape: str, tmp_path: Path) -> None:
    kind, listed, wrap, _ = SHAPES[shape]
    table = read(tmp_path / "a.arrows", stream(kind, listed, [wrap(GOOD)], [None, wrap([])]))
    assert table.column("v").type == kind
    assert table.num_rows == 3


def test_where_the_row_cannot_be_told_it_is_one_of_the_batch(tmp_path: Path) -> None:
    fixed = pa.list_(MAP, 1), pa.list_(LISTED, 1)
    with pytest.raises(InvalidData, match=r"column 'v\[\]\{key\}', one of rows 1 to 2: null"):
        read(tmp_path / "a.arrows", stream(*fixed, [[GOOD]], [[GOOD], [BAD]]))


def test_a_file_with_maps_is_read(tmp_path: Path) -> None:
    table = pa.table({"d": pa.array(["x", "y"]).dictionary_encode(), "v": pa.array([[("a", 1)], None], MAP)})
    with pa.ipc.new_file(str(tmp_path / "f.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    found = pa.concat_tables(rows for _, rows in open_source(tmp_path / "f.arrow").batches(10))
    assert found.column("v").to_pylist() == [[("a", 1)], None]

"""A map that has a key twice, or a null for a key, is refused by name; every other one is kept."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.values.map_keys import check_map_keys
from timestore_pipeline.model.refusals import UnfitValue
from timestore_pipeline.model.sql_types import duckdb_type

TEXT = pa.map_(pa.string(), pa.int64())
ONE, TWO = [("a", 1), ("b", 2)], [("a", 1), ("a", 2)]


def one_map(keys: pa.Array) -> pa.Array:
    """One row: a map with these keys."""
    return pa.MapArray.from_arrays(pa.array([0, len(keys)], pa.int32()), keys, pa.array(range(len(keys))))


def kept(array: pa.Array) -> bool:
    """Whether DuckDB keeps it."""
    rows = pa.table({"v": array})  # noqa: F841  # DuckDB reads it by its name
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t (v {duckdb_type(array.type)})")
        try:
            connection.execute("INSERT INTO t SELECT * FROM rows")
        except duckdb.InvalidInputException:
            return False
    return True


KEYS = {
    "text": (pa.array(["a", "a"]), "'a'"),
    "empty text": (pa.array(["", ""]), "''"),
    "bytes": (pa.array([b"a", b"a"]), "b'a'"),
    "numbers": (pa.array([7, 8, 7]), "7"),
    "truths": (pa.array([True, True]), "True"),
    "decimals": (pa.array([Decimal("1.0"), Decimal("1.00")], pa.decimal128(38, 2)), "1.00"),
    "zeros": (pa.array([0.0, -0.0]), "-0.0"),
    "no numbers": (pa.array([math.nan, -math.nan]), "nan"),
    "objects": (pa.array([{"x": None, "y": math.nan}] * 2), "{'x': None, 'y': nan}"),
    "lists": (pa.array([[1], [1]]), "[1]"),
    "maps": (pa.array([TWO[:1], TWO[:1]], TEXT), "[('a', 1)]"),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_twice_is_refused_as_duckdb_compares_keys(name: str) -> None:
    keys, shown = KEYS[name]
    array = one_map(keys)
    assert not kept(array)
    with pytest.raises(UnfitValue) as caught:
        check_map_keys(array, "v")
    assert (caught.value.path, caught.value.value) == ("v{key}", shown)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([ONE, None, [], ONE], TEXT),
        pa.array([TWO, ONE], TEXT)[1:],
        one_map(pa.array(["a", "A", "a\0", "a "])),
        one_map(pa.array([0.0, math.inf, math.nan])),
        one_map(pa.array([[1], [1, 1], []])).slice(0, 0),
        one_map(pa.array([{"x": 1}, {"x": None}])),
        pa.array([[ONE, None], None], pa.list_(TEXT)),
    ],
    ids=["usual", "a slice", "text", "numbers", "none", "objects", "in a list"],
)
def test_other_maps_are_kept(array: pa.Array) -> None:
    check_map_keys(array, "v")
    assert kept(array)


def test_what_lies_under_a_null_is_no_map() -> None:
    offsets = pa.array([0, 2, 3], pa.int32())
    keys, items = pa.array(["a", "a", "b"]), pa.array([1, 2, 3])
    array = pa.MapArray.from_arrays(offsets, keys, items, mask=pa.array([True, False]))
    check_map_keys(array, "v")
    assert kept(array)


@pytest.mark.parametrize(
    ("type_", "wrap", "path"),
    [
        (TEXT, lambda one: one, "v{key}"),
        (pa.list_(TEXT), lambda one: [one], "v[]{key}"),
        (pa.struct([("x", TEXT)]), lambda one: {"x": one}, "v.x{key}"),
        (pa.map_(pa.string(), TEXT), lambda one: [("k", one)], "v{value}{key}"),
        (pa.map_(TEXT, pa.string()), lambda one: [(one, "k")], "v{key}{key}"),
    ],
    ids=["a column", "in a list", "in a struct", "a value", "a key"],
)
def test_the_door_names_the_path_and_the_row(manager: StagingManager, type_: pa.DataType, wrap: Any, path: str) -> None:
    good, bad = wrap(ONE), wrap(TWO)
    manager.enqueue("d", pa.table({"n": [1], "v": pa.array([good], type_)}))
    rows = pa.table({"n": [1, 2, 3], "v": pa.array([good, None, bad], type_)})
    for call in (manager.submit, manager.check):
        with pytest.raises(InvalidData, match="'a' was taken for a key, which its map has twice") as caught:
            call("d", rows)
        assert str(caught.value).startswith(f"column {path!r}, row 2: ")
        assert "list of structs" in caught.value.hint


def test_keys_that_become_one_are_refused(manager: StagingManager) -> None:
    manager.set_metadata("d", {"schema": {"subMicroseconds": "truncate"}})
    fine = one_map(pa.array([1_000, 1_001], pa.timestamp("ns", "UTC")))
    with pytest.raises(InvalidData, match=r"column 'v\{key\}', row 0: 1970.* its map has twice"):
        manager.submit("d", pa.table({"v": fine}))


def test_a_null_key_behind_a_dictionary_is_refused(manager: StagingManager) -> None:
    keys = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", None]))
    with pytest.raises(InvalidData, match=r"column 'v\{key\}', row 0: null was taken for a key, which no map can have"):
        manager.submit("d", pa.table({"v": one_map(keys)}))

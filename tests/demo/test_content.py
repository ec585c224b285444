from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.content import content_hash, surplus
from demo.source import read

_SCHEMA = pa.schema([("n", pa.int64()), ("x", pa.float64()), ("s", pa.string()), ("t", pa.timestamp("us", tz="UTC"))])
_INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
_ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
        st.none() | _INSTANTS,
    ),
    min_size=1,
    max_size=12,
)


def _table(rows: list[tuple[object, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in rows], schema=_SCHEMA)


@settings(max_examples=40)
@given(_ROWS, st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_does_not_count(rows: list[tuple[object, ...]], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    assert content_hash(_table(shuffled).select(["t", "s", "n", "x"])) == content_hash(_table(rows))


@settings(max_examples=40)
@given(_ROWS)
def test_a_missing_row_and_a_doubled_row_count(rows: list[tuple[object, ...]]) -> None:
    hashes = {content_hash(_table(rows[1:])), content_hash(_table(rows)), content_hash(_table([*rows, rows[0]]))}
    assert len(hashes) == 3


@settings(max_examples=40)
@given(_ROWS, _ROWS)
def test_different_rows_have_different_hashes(one: list[tuple[object, ...]], two: list[tuple[object, ...]]) -> None:
    same = sorted(map(repr, one)) == sorted(map(repr, two))
    assert (content_hash(_table(one)) == content_hash(_table(two))) == same


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (pa.array([1.0]), pa.array([1.0000000000000002])),
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([0], pa.int64()), pa.array([None], pa.int64())),
        (pa.array([""]), pa.array([None], pa.string())),
        (pa.array([1]), pa.array(["1"])),
        (pa.array([1]), pa.array([1.0])),
        (pa.array([2**53]), pa.array([2**53 + 1])),
    ],
    ids=["last bit", "sign of zero", "null and zero", "null and empty", "number and text", "int and float", "big ints"],
)
def test_near_values_are_told_apart(one: pa.Array, two: pa.Array) -> None:
    assert content_hash(pa.table({"v": one})) != content_hash(pa.table({"v": two}))


def test_the_name_of_a_column_counts() -> None:
    assert content_hash(pa.table({"a": [1]})) != content_hash(pa.table({"b": [1]}))


def test_the_width_of_a_type_does_not_count() -> None:
    narrow = pa.table({"n": pa.array([1], pa.int16()), "x": pa.array([0.5], pa.float32()), "s": pa.array(["a"])})
    wide = pa.table({"n": pa.array([1]), "x": pa.array([0.5]), "s": pa.array(["a"], pa.large_string())})
    assert content_hash(narrow) == content_hash(wide)


def test_weather_read_back_from_a_delta_table_is_equal(tmp_path: Path) -> None:
    weather = read("weather")
    day = pa.array([date(2013, 1, 1)] * weather.num_rows)
    write_deltalake(tmp_path, weather.append_column("partition_date", day), partition_by=["partition_date"])
    assert content_hash(DeltaTable(tmp_path).to_pyarrow_table()) == content_hash(weather)


def test_rows_too_many_are_counted_and_shown() -> None:
    one, two = pa.table({"n": [1, 2, 2, 3]}), pa.table({"n": [3, 1, 2]})
    assert surplus(one, two) == (1, ['{"n integer":"2"}'])
    assert surplus(two, one) == (0, [])

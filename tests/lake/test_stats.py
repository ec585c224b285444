"""Statistics against the real COPY, and against readers that prune by them."""

from __future__ import annotations

import json
import operator
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lake.exporting import APP, UNPARTITIONED
from timestore_pipeline.lake.parquet import ParquetFile, write_parquet
from timestore_pipeline.lake.stats import delta_stats, time_bounds
from timestore_pipeline.lake.store import LocalStore
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.lake import PartitionKey


def written(con: duckdb.DuckDBPyConnection, folder: Path, expressions: str) -> ParquetFile:
    """A file whose only column is called "c" and holds the comma-separated expressions."""
    return write_parquet(con, f'SELECT unnest([{expressions}]) AS "c"', LocalStore(folder), "f.parquet")


def stats_of(file: ParquetFile) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(delta_stats(file.rows, file.column_statistics, file.schema))
    return document


@pytest.mark.parametrize(
    ("expressions", "low", "high"),
    [
        ("3::TINYINT, NULL, 1", 1, 3),
        ("9007199254740993, -9223372036854775808", -(2**63), 9007199254740993),
        ("1.5::DOUBLE, -1e300", -1e300, 1.5),
        ("0.1::FLOAT", 0.10000000149011612, 0.10000000149011612),
        ("0.0::DOUBLE", -0.0, 0.0),
        ("'é', '', 'a'", "", "é"),
        ("DATE '2020-02-29', DATE '0001-01-01'", "0001-01-01", "2020-02-29"),
        ("1.20::DECIMAL(5,2), -3", -3, 1.2),
        ("1234567890.12::DECIMAL(38,2)", 1234567890.12, 1234567890.12),
        ("TIMESTAMP '2020-01-01 00:00:00.123456'", "2020-01-01T00:00:00.123", "2020-01-01T00:00:00.124"),
        ("TIMESTAMPTZ '2020-01-01 01:00:00+01'", "2020-01-01T00:00:00.000Z", "2020-01-01T00:00:00.000Z"),
        ("true, true", False, True),
        ("repeat('z', 65)", "z" * 64, "z" * 63 + "{"),
        ("'é' || repeat('\ud7ff', 70)", "é" + "\ud7ff" * 63, "é" + "\ud7ff" * 62 + "\ue000"),
        ("9007199254740993::DECIMAL(38,0)", 9007199254740990, 9007199254741000),
        ("0.12345678901234567::DECIMAL(38,17)", 0.123456789012345, 0.123456789012346),
        ("0.00001::DECIMAL(10,5)", 0, 0.0001),
        ("-0.00001::DECIMAL(10,5)", -0.0001, 0),
        ("TIMESTAMP '1969-12-31 23:59:59.999999'", "1969-12-31T23:59:59.999", "1970-01-01T00:00:00.000"),
    ],
)
def test_bounds_enclose_the_values(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, expressions: str, low: Any, high: Any
) -> None:
    con.execute("SET timezone = 'Asia/Kolkata'")
    stats = stats_of(written(con, tmp_path, expressions))
    assert (stats["minValues"], stats["maxValues"]) == ({"c": low}, {"c": high})


@pytest.mark.parametrize(
    "expressions",
    [
        "'nan'::DOUBLE, 1.0",
        "'inf'::DOUBLE",
        "'infinity'::TIMESTAMP",
        "DATE '12345-01-01'",
        "TIMESTAMP '0044-03-15 (BC) 00:00:00'",
        "TIMESTAMP '9999-12-31 23:59:59.999999'",
        "9999999999999999::DECIMAL(16,0)",
        "repeat(chr(1114111), 65)",
    ],
)
def test_one_doubtful_bound_leaves_the_file_without_any(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, expressions: str
) -> None:
    select = f'SELECT unnest([{expressions}]) AS "c", 1 AS "sound"'
    stats = stats_of(write_parquet(con, select, LocalStore(tmp_path), "f.parquet"))
    assert stats == {"numRecords": stats["numRecords"], "nullCount": {"c": 0, "sound": 0}}


@pytest.mark.parametrize("expressions", ["'\\xAA'::BLOB", "NULL::DOUBLE", "[1]"])
def test_columns_without_an_order_or_without_values_leave_the_others_their_bounds(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, expressions: str
) -> None:
    select = f'SELECT {expressions} AS "c", 1 AS "sound"'
    stats = stats_of(write_parquet(con, select, LocalStore(tmp_path), "f.parquet"))
    assert (stats["minValues"], stats["maxValues"]) == ({"sound": 1}, {"sound": 1})


def test_nulls_are_counted_for_top_level_primitives_only(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    select = """SELECT * FROM (VALUES (1, true, [1], {'a': 1}), (NULL, NULL, NULL, NULL)) t("a ""b"", é", b, l, s)"""
    stats = stats_of(write_parquet(con, select, LocalStore(tmp_path), "f.parquet"))
    assert (stats["numRecords"], stats["nullCount"]) == (2, {'a "b", é': 1, "b": 1})


def test_column_names_that_look_like_paths_are_not_taken_for_paths(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    select = """SELECT 1 AS "s.a", 2 AS "s"".""a", {'a': 3} AS s"""
    stats = stats_of(write_parquet(con, select, LocalStore(tmp_path), "f.parquet"))
    assert stats["minValues"] == {"s.a": 1, 's"."a': 2}


@pytest.mark.parametrize(
    ("expressions", "bounds"),
    [
        ("DATE '2020-01-02'", (datetime(2020, 1, 2, tzinfo=UTC),) * 2),
        ("TIMESTAMP '2020-01-02 03:00'", (datetime(2020, 1, 2, 3, tzinfo=UTC),) * 2),
        ("TIMESTAMPTZ '2020-01-02 03:00+01'", (datetime(2020, 1, 2, 2, tzinfo=UTC),) * 2),
        ("TIMESTAMP '2020-01-02', 'infinity'", (datetime(2020, 1, 2, tzinfo=UTC), None)),
        ("NULL::TIMESTAMP", (None, None)),
        ("'2020-01-02'", (None, None)),
    ],
)
def test_time_bounds_are_instants_in_utc(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, expressions: str, bounds: tuple[datetime | None, datetime | None]
) -> None:
    file = written(con, tmp_path, expressions)
    assert time_bounds(file.column_statistics, file.schema, "c") == bounds
    assert time_bounds(file.column_statistics, file.schema, None) == (None, None)


NAIVE_TIMES = st.datetimes()
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "integer": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "small integer": (pa.int32(), st.integers(-3, 3)),
    "double": (pa.float64(), st.floats()),
    "float": (pa.float32(), st.floats(width=32)),
    "string": (pa.string(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=70)),
    "binary": (pa.binary(), st.binary(max_size=4)),
    "boolean": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates()),
    "naive": (pa.timestamp("us"), NAIVE_TIMES),
    "utc": (pa.timestamp("us", tz="UTC"), NAIVE_TIMES.map(lambda time: time.replace(tzinfo=UTC))),
    "decimal": (pa.decimal128(18, 4), st.decimals(-(10**13), 10**13, places=4)),
    "wide decimal": (pa.decimal128(38, 10), st.decimals(-(10**20), 10**20, places=10)),
}
COMPARISONS = [operator.eq, operator.lt, operator.le, operator.gt, operator.ge]


def publish_files(
    engine: duckdb.DuckDBPyConnection, folder: str, kind: pa.DataType, files: list[list[Any]]
) -> LakeTable:
    """One table with one file for each list of values."""
    table = Lake(folder).table("pruned")
    table.ensure(pa.schema([("c", kind)]), UNPARTITIONED)
    with engine.cursor() as con:
        exported = []
        for values in files:
            con.register("incoming", pa.table({"c": pa.array(values, kind)}))
            exported.append(
                table.write(con, "SELECT * FROM incoming", PartitionKey(None, None), shard="shard-0", epoch=1)
            )
    table.publish(APP, 1, exported, {})
    return table


def pruned_equals_scanned(table: LakeTable, probe: pa.Scalar, compare: Callable[[Any, Any], Any]) -> None:
    """Every reader finds as many rows when it may skip files as when it filters all of them."""
    matches = compare(pc.field("c"), probe)
    for dataset in (table.to_arrow_dataset(), DeltaTable(table.uri).to_pyarrow_dataset()):
        assert dataset.to_table(filter=matches).num_rows == dataset.to_table().filter(matches).num_rows
    condition = compare(pl.col("c"), pl.Series([probe.as_py()], dtype=pl.Series(pa.array([probe])).dtype).first())
    lazy = pl.scan_delta(table.uri)
    assert lazy.filter(condition).collect().height == lazy.collect().filter(condition).height


def is_comparable(probe: Any) -> bool:
    """Not NaN: Arrow takes a file whose smallest and largest value are equal for a match of `value < NaN`."""
    return bool(probe == probe)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=20)
@given(data=st.data())
def test_pruning_never_loses_a_row(engine: duckdb.DuckDBPyConnection, name: str, data: st.DataObject) -> None:
    kind, values = KINDS[name]
    files = data.draw(st.lists(st.lists(st.none() | values, min_size=1, max_size=4), min_size=1, max_size=3))
    present = [value for file in files for value in file if value is not None]
    probe = data.draw((st.sampled_from(present) | values if present else values).filter(is_comparable))
    with tempfile.TemporaryDirectory() as folder:
        table = publish_files(engine, folder, kind, files)
        pruned_equals_scanned(table, pa.scalar(probe, kind), data.draw(st.sampled_from(COMPARISONS)))


def test_a_bound_rounded_to_milliseconds_keeps_its_own_row(engine: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    time = datetime(2020, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)
    table = publish_files(engine, str(tmp_path), KINDS["utc"][0], [[time], [time + timedelta(days=1)]])
    for compare in COMPARISONS:
        pruned_equals_scanned(table, pa.scalar(time, KINDS["utc"][0]), compare)


def test_readers_do_prune(engine: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    table = publish_files(engine, str(tmp_path), pa.date32(), [[date(2020, 1, 1)], [date(2021, 1, 1)]])
    fragments = table.to_arrow_dataset().get_fragments(pc.field("c") == date(2021, 1, 1))
    assert len(list(fragments)) == 1


def test_decimals_of_either_width_are_read_back_exactly(engine: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    value = Decimal("123456789012345678.0123456789")
    table = publish_files(engine, str(tmp_path), pa.decimal128(38, 10), [[value]])
    assert table.to_arrow_dataset().to_table()["c"].to_pylist() == [value]

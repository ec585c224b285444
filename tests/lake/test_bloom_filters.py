"""Bloom filters are where docs/configuration.md promises them, and exclude what bounds cannot."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from timestore_pipeline.lake.parquet import write_parquet, write_parquets
from timestore_pipeline.lake.store import LocalStore
from timestore_pipeline.model.thresholds import ParquetOptions

GROUP = 4096  # rows
MOST = GROUP // 5  # distinct values of a column that has a filter


@pytest.fixture
def file(engine: duckdb.DuckDBPyConnection, tmp_path: Path) -> Path:
    """Three row groups; `few` and `text` have as many values as may be, `more` a few more."""
    rows = f"SELECT 2 * (i % {MOST}) AS few, 's' || few AS text, i % {MOST + 100} AS more FROM range({3 * GROUP}) r(i)"
    write_parquet(engine, rows, LocalStore(tmp_path), "f.parquet", ParquetOptions(row_group_size=GROUP))
    return tmp_path / "f.parquet"


def test_a_column_of_few_values_has_a_filter_in_each_row_group(engine: duckdb.DuckDBPyConnection, file: Path) -> None:
    assert filters(engine, file) == {"few": 3, "text": 3, "more": 0}


def test_duckdb_skips_a_value_between_the_bounds(engine: duckdb.DuckDBPyConnection, file: Path) -> None:
    assert excluded(engine, file, 2) == [False] * 3
    assert sum(excluded(engine, file, odd) == [True] * 3 for odd in range(1, 101, 2)) > 40  # a filter may err


def test_small_parts_that_are_written_together_have_none(engine: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    write_parquets({"p.parquet": pa.table({"few": [1, 2] * 1000})}, LocalStore(tmp_path))
    assert filters(engine, tmp_path / "p.parquet") == {"few": 0}


def filters(engine: duckdb.DuckDBPyConnection, file: Path) -> dict[str, int]:
    """Column -> row groups with a filter."""
    columns = "path_in_schema, count(bloom_filter_offset)"
    return dict(engine.execute(f"SELECT {columns} FROM parquet_metadata('{file}') GROUP BY ALL").fetchall())


def excluded(engine: duckdb.DuckDBPyConnection, file: Path, value: int) -> list[bool]:
    """For each row group, whether its filter tells DuckDB that `few` never has the value."""
    found = engine.execute(f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{file}', 'few', {value})")
    return [excludes for (excludes,) in found.fetchall()]

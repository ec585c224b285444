"""Statistics of parts against those that DuckDB returns for a file of the same rows."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lake.test_stats import KINDS
from timestore_pipeline.lake.parquet import parts, write_parquet
from timestore_pipeline.lake.stats import delta_stats
from timestore_pipeline.lake.store import LocalStore


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=20)
@given(data=st.data())
def test_a_part_has_the_statistics_of_its_file(
    engine: duckdb.DuckDBPyConnection, name: str, data: st.DataObject
) -> None:
    kind, values = KINDS[name]
    cut = data.draw(st.lists(st.lists(st.none() | values, min_size=1, max_size=4), min_size=1, max_size=3))
    column: list[Any] = [value for part in cut for value in part]
    numbers = [number for number, part in enumerate(cut) for _ in part]
    rows = pa.table({"c": pa.array(column, kind), "p": numbers, "l": [[1]] * len(column)})
    with engine.cursor() as con, tempfile.TemporaryDirectory() as folder:
        con.execute("SET timezone = 'UTC'")
        for part, expected in zip(parts(con, rows, "p"), cut, strict=True):
            assert part.rows["c"].to_pylist() == pa.array(expected, kind).to_pylist() or name in ("double", "float")
            con.register("part", part.rows)
            file = write_parquet(con, "FROM part", LocalStore(Path(folder)), "f.parquet")
            told = json.loads(delta_stats(file.rows, file.column_statistics, file.schema))
            assert json.loads(delta_stats(part.rows.num_rows, part.statistics, part.rows.schema)) == told

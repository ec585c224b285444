"""Every reader that is documented, over one table: each must open it and find the same number of rows."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder


def by_arrow(uri: str) -> pa.Table:
    return DeltaTable(uri).to_pyarrow_dataset().to_table()


def by_datafusion(uri: str) -> pa.Table:
    """deltalake's own engine."""
    return pa.table(QueryBuilder().register("t", DeltaTable(uri)).execute("SELECT * FROM t"))


def by_polars(uri: str) -> pa.Table:
    return pl.scan_delta(uri).collect().to_arrow()


def by_duckdb(uri: str) -> pa.Table:
    with duckdb.connect() as connection:
        connection.register("t", DeltaTable(uri).to_pyarrow_dataset())
        return connection.sql("SELECT * FROM t").to_arrow_table()


READERS: dict[str, Callable[[str], pa.Table]] = {
    "pyarrow": by_arrow, "datafusion": by_datafusion, "polars": by_polars, "duckdb": by_duckdb,
}  # fmt: skip


def check_readable(uri: str) -> None:
    """Fail unless every reader gives the rows that the log counts, in the columns that it names."""
    table = DeltaTable(uri)
    columns = pa.schema(table.schema().to_arrow()).names
    counted = sum(add["num_records"] for add in pa.table(table.get_add_actions()).to_pylist())
    for name, read in READERS.items():
        found = read(uri)
        assert (found.num_rows, found.column_names) == (counted, columns), f"{name} reads {uri} otherwise"

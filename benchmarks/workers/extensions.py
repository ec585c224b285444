"""DuckDB with extensions that were installed as wheels: nothing is downloaded when it runs."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks.workers.answering import answer, writing
from benchmarks.workers.rows import COLUMNS


def connect(*extensions: str, database: str = ":memory:") -> duckdb.DuckDBPyConnection:
    # Wheels are not signed the way DuckDB's own repository is.
    connection = duckdb.connect(database, config={"allow_unsigned_extensions": "true"})
    for name in extensions:
        connection.execute(f"LOAD '{_file(name)}'")
    return connection


def answer_with_inserts(connection: duckdb.DuckDBPyConnection, table: Callable[[str], str]) -> None:
    """One INSERT a batch. table: the SQL name of a destination's table."""

    def prepare(destination: str) -> None:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table(destination)} ({COLUMNS})")

    def write(destination: str, batch: pa.Table) -> None:
        connection.register("batch", batch)
        connection.execute(f"INSERT INTO {table(destination)} SELECT * FROM batch")

    answer({"prepare": prepare, "write": writing(write)})


def _file(name: str) -> Path:
    [file] = Path(sysconfig.get_path("purelib")).glob(f"duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
    return file

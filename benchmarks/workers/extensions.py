"""DuckDB with extensions that were installed as wheels: nothing is downloaded when it runs."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import duckdb


def connect(*extensions: str, database: str = ":memory:") -> duckdb.DuckDBPyConnection:
    # Wheels are not signed the way DuckDB's own repository is.
    connection = duckdb.connect(database, config={"allow_unsigned_extensions": "true"})
    for name in extensions:
        connection.execute(f"LOAD '{_file(name)}'")
    return connection


def _file(name: str) -> Path:
    [file] = Path(sysconfig.get_path("purelib")).glob(f"duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
    return file

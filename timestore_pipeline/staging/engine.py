"""DuckDB instances: in memory, extensions off, UTC; segment files are attached to them, never opened directly."""

from __future__ import annotations

from pathlib import Path

import duckdb


def open_engine(memory_limit_mb: int | None = None, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A private in-memory instance.

    memory_limit_mb: bound of DuckDB's buffers in MiB, None = its default. spill: folder for what does not fit.
    """
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    if memory_limit_mb is not None:
        connection.execute(f"SET memory_limit = '{memory_limit_mb}MiB'")
    if spill is not None:
        connection.execute(f"SET temp_directory = {text(str(spill))}")
    return connection


def text(value: str) -> str:
    """An SQL string literal."""
    return "'" + value.replace("'", "''") + "'"

"""DuckDB instances: in memory, extensions off, UTC; segment files are attached to them, never opened directly."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import duckdb

_MB_PER_THREAD = 64  # measured: a sort of many narrow rows fails with less


class SharedEngine:
    """The instance to which a process attaches the segments it writes. Thread-safe.

    DuckDB gives up a whole instance when one flush to disk fails: whatever is attached to it can no longer be used, and
    stays locked until the instance is gone. So it is replaced, and goes with the last cursor its users close.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = open_engine()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to an instance that works; close it."""
        with self._lock:
            if not _works(self._connection):
                self._connection.close()
                self._connection = open_engine()
            return self._connection.cursor()

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _works(connection: duckdb.DuckDBPyConnection) -> bool:
    try:
        connection.execute("SELECT 1")
    except duckdb.FatalException:
        return False
    return True


def open_engine(memory_limit_mb: int | None = None, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A private in-memory instance.

    memory_limit_mb: bound of DuckDB's buffers in MiB, None = its default; a thread for every 64 of them, since each has
    buffers of its own. spill: folder for what does not fit.
    """
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # under `python -m` DuckDB draws one into our output
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    if memory_limit_mb is not None:
        connection.execute(f"SET memory_limit = '{memory_limit_mb}MiB'")
        connection.execute(f"SET threads = {max(1, min(os.cpu_count() or 1, memory_limit_mb // _MB_PER_THREAD))}")
    if spill is not None:
        connection.execute(f"SET temp_directory = {text(str(spill))}")
    return connection


def text(value: str) -> str:
    """An SQL string literal."""
    return "'" + value.replace("'", "''") + "'"

"""DuckDB instances: in memory, extensions off, UTC; segment files are attached to them, never opened directly."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # DuckDB is imported with the first instance: to look at a queue takes none
    import duckdb

_MB_PER_THREAD = 64  # measured: a sort of many narrow rows fails with less


class EnginePool:
    """Private instances for exports, roll-ups and audits, one each; kept, since opening costs more than a small export.

    An instance that met an error, or has spilled and so cannot be given another folder, is not kept. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[duckdb.DuckDBPyConnection] = []

    @contextmanager
    def lend(
        self, memory_limit_mb: int | None = None, spill: Path | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to an instance with nothing attached; `open_engine` explains the arguments."""
        with self._lock:
            engine = self._idle.pop() if self._idle else open_engine()
        try:
            _bound(engine, memory_limit_mb, spill)
            with engine.cursor() as connection:  # temporary views go with it
                yield connection
            _detach_all(engine)
        except BaseException:
            engine.close()
            raise
        if spill is not None and any(spill.iterdir()):
            engine.close()
        else:
            with self._lock:
                self._idle.append(engine)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for engine in idle:
            engine.close()


def open_engine(memory_limit_mb: int | None = None, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A private in-memory instance.

    memory_limit_mb: bound of DuckDB's buffers in MiB, None = its default; a thread for every 64 of them, since each has
    buffers of its own, and no more than the cores that this process may run on. spill: folder for what does not fit,
    None = what does not fit is an error.
    """
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # under `python -m` DuckDB draws one into our output
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    _bound(connection, memory_limit_mb, spill)
    return connection


def _bound(connection: duckdb.DuckDBPyConnection, memory_limit_mb: int | None, spill: Path | None) -> None:
    if memory_limit_mb is not None:
        connection.execute(f"SET memory_limit = '{memory_limit_mb}MiB'")
        threads = max(1, min(_cores(), memory_limit_mb // _MB_PER_THREAD))
        connection.execute(f"SET threads = {threads}")
    if memory_limit_mb is not None or spill is not None:
        from timestore_pipeline.model.sql_types import literal

        connection.execute(f"SET temp_directory = {literal(str(spill or ''))}")


def _cores() -> int:
    """Those that this process may run on; all of them where the system cannot restrict it, as on macOS."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _detach_all(connection: duckdb.DuckDBPyConnection) -> None:
    attached = "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND database_name != current_database()"
    for (name,) in connection.execute(attached).fetchall():
        connection.execute(f'DETACH "{name}"')

"""A pool of DuckDB instances for reading segments: opening one costs more than reading a small segment.

An instance is closed after an error, because a damaged block can leave the instance that read it unusable.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import duckdb

from timestore_pipeline.staging.engine import open_engine


class Engines:
    """Safe to share between threads; close it, or leave it as a context."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[duckdb.DuckDBPyConnection] = []

    @contextmanager
    def lent(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """An instance for one caller, which detaches the databases it has attached."""
        engine = self._take()
        try:
            yield engine
        except BaseException:
            engine.close()
            raise
        with self._lock:
            self._idle.append(engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return open_engine()

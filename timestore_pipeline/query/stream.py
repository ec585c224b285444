"""Waiting for DuckDB in a way that Ctrl-C interrupts.

Python handles a signal between two of its own instructions, and a call that pulls the next rows of a result may last
for minutes. So such calls run in a separate thread, while the caller's thread waits.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import duckdb

from timestore_pipeline.system.context_managers import Closing

T = TypeVar("T")

_AGAIN = 0.02  # seconds


class QueryThread(Closing):
    """Makes one call at a time on a connection; an exception during the wait interrupts the call."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="timestore-query")
        self._closed = False

    def run(self, call: Callable[[], T]) -> T:
        future: Future[T] = self._thread.submit(call)
        try:
            wait([future])
        except BaseException:
            self._end_call()
            raise
        return future.result()

    def close(self) -> None:
        if not self._closed:
            self._end_call()
            self._thread.shutdown()
            self._closed = True

    def _end_call(self) -> None:
        """Return when no call is running. DuckDB drops an interrupt that comes before its query has begun."""
        after = self._thread.submit(lambda: None)
        self._connection.interrupt()
        while not wait([after], _AGAIN).done:
            self._connection.interrupt()

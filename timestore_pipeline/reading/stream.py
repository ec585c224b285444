"""Waiting for DuckDB in a way that Ctrl-C ends.

Python hears of a signal between two of its own instructions, and a call that pulls the next rows of a result may last
for minutes. So such calls are made by a thread of their own, while the caller's waits.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import duckdb

from timestore_pipeline.closing import Closing

T = TypeVar("T")


class Worker(Closing):
    """Makes one call at a time on a connection; whatever interrupts the wait interrupts the call."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="timestore-query")

    def run(self, call: Callable[[], T]) -> T:
        future: Future[T] = self._thread.submit(call)
        try:
            wait([future])
        except BaseException:
            self._connection.interrupt()
            raise
        return future.result()

    def close(self) -> None:
        self._connection.interrupt()
        self._thread.shutdown()

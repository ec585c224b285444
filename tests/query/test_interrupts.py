"""An interrupted wait interrupts the call, in either order of the two."""

from __future__ import annotations

import threading

import duckdb
import pytest

from timestore_pipeline.query import statement
from timestore_pipeline.query.statement import QueryThread
from timestore_pipeline.staging.engine import open_engine

LONG = "SELECT sum(hash(a.i, b.i)) FROM range(100000) a(i), range(20000) b(i)"  # seconds of work


class Slow:
    """A connection whose query begins only once it has been interrupted twice."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._times = 0
        self._begin = threading.Event()
        self.ended: list[str] = []

    def interrupt(self) -> None:
        self._connection.interrupt()
        self._times += 1
        if self._times == 2:
            self._begin.set()

    def query(self) -> None:
        assert self._begin.wait(60)
        try:
            self._connection.execute(LONG)
        except duckdb.InterruptException:
            self.ended.append("interrupted")


def test_a_query_that_begins_after_the_interruption_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = vars(statement)["wait"]

    def ctrl_c(*_: object) -> None:
        monkeypatch.setattr(statement, "wait", wait)
        raise KeyboardInterrupt

    monkeypatch.setattr(statement, "wait", ctrl_c)
    with open_engine() as connection:
        slow = Slow(connection)
        with pytest.raises(KeyboardInterrupt), QueryThread(slow) as worker:  # type: ignore[arg-type]
            worker.run(slow.query)
    assert slow.ended == ["interrupted"]


def test_closing_again_is_nothing() -> None:
    with open_engine() as connection, QueryThread(connection) as worker:
        worker.close()

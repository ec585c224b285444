"""Ctrl-C, or a termination by Dagster, in the middle of an export."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from timestore_pipeline.flush import export
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.engine import open_engine

ENDLESS = "SELECT count(*) FROM range(1_000_000) a, range(1_000_000) b WHERE (a.range * b.range) % 7 = 1"


@pytest.fixture
def signal_soon() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_during_a_query_is_an_interruption_and_not_an_error(signal_soon: None) -> None:
    with open_engine() as connection:
        connection.execute("SET threads = 1")  # DuckDB lets its other threads finish first, and this query never does
        with pytest.raises(KeyboardInterrupt), export._translated(FlushRef("weather", 1)):
            connection.execute(ENDLESS)

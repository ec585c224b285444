"""Producers, flushes and kills at once, in real processes: everything acknowledged is published exactly once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.services.forked import Forked
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

FLUSHES = 4  # beside the producers, at least

START = datetime(2026, 1, 1, tzinfo=UTC)


def start_producer(home: Path, name: int) -> Forked:
    """It goes on until there is a file called `stop`."""
    return Forked(produce, home, name)


def produce(home: Path, name: int) -> None:
    """Batch after batch, each written down as soon as it is acknowledged."""
    stop, number = home / "stop", 0
    with StagingManager.open(Settings.build(home=home)) as staging, (home / f"acked-{name}").open("a") as acks:
        while not stop.exists():
            values = [name * 10**9 + number * 10 + index for index in range(10)]
            times = pa.array([START + timedelta(seconds=value % 10**5) for value in values])
            staging.enqueue("d", pa.table({"ts": times, "n": values}), idempotency_key=f"{name}/{number}")
            acks.write("".join(f"{value}\n" for value in values))
            acks.flush()
            number += 1


@contextmanager
def three_producers(home: Path) -> Iterator[list[Forked]]:
    producers = [start_producer(home, name) for name in range(3)]
    try:
        yield producers
    finally:
        for producer in producers:
            producer.kill()


def opened(home: Path) -> Timestore:
    """For flushes that wait for their producers as long as a busy machine lets those take to answer."""
    return Timestore(Settings.build(home=home))


def acked(home: Path) -> list[int]:
    """What producers were told is durable, by their own record; a line cut by a kill was never told."""
    lines = [line for file in home.glob("acked-*") for line in file.read_text().splitlines(keepends=True)]
    return sorted(int(line) for line in lines if line.endswith("\n"))


def published(timestore: Timestore) -> list[int]:
    return sorted(timestore.lake.table("d").to_arrow_dataset().to_table()["n"].to_pylist())


def seconds() -> float:
    """How long the producers run at least: short in the suite, longer on demand."""
    return float(os.environ.get("TIMESTORE_TEST_SECONDS", "1"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_three_producers_and_a_flush_loop_publish_every_acknowledged_row_exactly_once(home: Path) -> None:
    flushes, end = 0, clock.monotonic() + seconds()
    with three_producers(home) as producers, opened(home) as timestore:
        while flushes < FLUSHES or clock.monotonic() < end:
            assert all(producer.is_running() for producer in producers)
            flushes += flush(timestore)
        (home / "stop").touch()
        assert [producer.wait() for producer in producers] == [0, 0, 0]
        flush(timestore)
        assert published(timestore) == acked(home)
        assert timestore.status("d").backlog.queued.batches == 0


def test_killed_producers_lose_no_acknowledged_batch(home: Path) -> None:
    killed = 0
    with opened(home) as timestore:
        for name in range(6):
            producer = start_producer(home, name)
            wait_for_acks(home, name, producer)
            producer.send_signal(signal.SIGKILL)
            killed += producer.wait() == -signal.SIGKILL
            flush(timestore)
        assert killed == 6
        missing = set(acked(home)) - set(published(timestore))
        doubled = len(published(timestore)) - len(set(published(timestore)))
        assert (len(missing), doubled) == (0, 0)
        unacknowledged = set(published(timestore)) - set(acked(home))
        assert len(unacknowledged) <= 10 * killed, "at most the one batch whose receipt the kill swallowed"


def wait_for_acks(home: Path, name: int, producer: Forked) -> None:
    record = home / f"acked-{name}"
    while not record.exists() or record.stat().st_size < 2_000:
        assert producer.is_running(), "the producer ended before it was killed"
        clock.sleep(0.01)


def flush(timestore: Timestore) -> bool:
    """Flush what is there; the dataset may not exist before the first batch."""
    if timestore.area.ledger.datasets.find("d") is None:
        return False
    return timestore.flush("d", Trigger.MANUAL, "loop") is not None

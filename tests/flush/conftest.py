"""A real staging directory and lake in a temporary folder, opened as an operator's process and as a producer's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.wiring import Timestore

START = datetime(2026, 3, 1, tzinfo=UTC)


def hourly(count: int, first: int = 0) -> pa.Table:
    """`count` rows, one an hour from START on, numbered from `first`."""
    instants = [START + timedelta(hours=hour) for hour in range(first, first + count)]
    return pa.table({"ts": pa.array(instants, pa.timestamp("us", "UTC")), "n": list(range(first, first + count))})


def published(timestore: Timestore, dataset: str = "d") -> list[int]:
    """The numbers in the lake, in order, doubles included."""
    table = timestore.lake.table(dataset)
    return sorted(table.to_arrow_dataset().to_table()["n"].to_pylist()) if table.exists() else []


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """In memory where that can be had: a process that dies takes no page with it, and the disk stays quiet."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="flush-", dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Settings.build(home=Path(folder) / "home")


@pytest.fixture
def staging(settings: Settings) -> Iterator[StagingManager]:
    with StagingManager.open(settings) as manager:
        yield manager


@pytest.fixture
def timestore(settings: Settings) -> Iterator[Timestore]:
    with Timestore(settings) as opened:
        yield opened

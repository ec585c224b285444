"""A staging directory with two datasets, one of which was flushed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.monitoring.telemetry.patience import patient_push
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.monitoring.telemetry import push
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

__all__ = ["patient_push"]

HOUR = timedelta(hours=1)  # longer than any test takes
MILLISECOND = timedelta(milliseconds=1)


def readings(rows: int) -> pa.Table:
    times = [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in range(rows)]
    return pa.table({"at": pa.array(times, pa.timestamp("us", "UTC")), "value": [float(n) for n in range(rows)]})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.build(home=tmp_path, shard="edge-7")


@pytest.fixture
def store(settings: Settings) -> Iterator[Timestore]:
    """`weather`: 30 rows published, 20 staged. `planes`: 5 rows staged, thresholds of its own."""
    with Timestore(settings) as opened:
        opened.set_metadata("planes", {"staging": {"flush": {"maxRows": 7, "maxAgeMs": 1500}}})
        with opened.staging() as staging:
            staging.enqueue("weather", readings(30))
            opened.flush("weather", Trigger.MANUAL, "test")
            staging.enqueue("weather", readings(20))
            staging.enqueue("planes", readings(5))
        yield opened


@pytest.fixture
def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that failed is left alone for an hour."""
    monkeypatch.setattr(push, "_FIRST_PAUSE", HOUR)
    monkeypatch.setattr(push, "_LONGEST_PAUSE", HOUR)

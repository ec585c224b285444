"""Two minutes that move every panel of the dashboard: three datasets, and a lake that is unavailable for a while.

Producers and the flush sensor's work run in threads of this process; the sensor's decisions are the real ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from timestore_pipeline import Settings
from timestore_pipeline.errors import QueueFull, TimestoreError
from timestore_pipeline.monitoring.telemetry.push import push_metrics
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

SHARD = "shard-0"


@dataclass(frozen=True, slots=True)
class Timeline:
    """Seconds after the start."""

    end: float = 110.0
    lake_away: float = 45.0
    burst: float = 60.0  # a producer sends more than the queue holds
    lake_back: float = 70.0


_PACES = {"flights": (0.25, 400), "trips": (1.0, 150), "weather": (0.5, 40)}  # seconds between batches, rows
_METADATA = {
    "flights": {"staging": {"flush": {"maxRows": 12_000, "maxAgeMs": 20_000}}},
    "trips": {"staging": {"flush": {"maxAgeMs": 9_000}}},
    "weather": {"staging": {"flush": {"maxAgeMs": 6_000}}},
}


def live(home: Path, gateway: str, timeline: Timeline) -> None:
    """Returns at the end of the time line."""
    settings = Settings.build(
        home=home,
        shard=SHARD,
        pushgateway_url=gateway,
        staging_max_pending=16,
        staging_max_dataset_bytes=2_000_000,
        staging_flush_max_bytes=1_500_000,
    )
    with Timestore(settings) as store:
        for dataset, metadata in _METADATA.items():
            store.set_metadata(dataset, metadata)
    start = clock.monotonic()
    threads = [
        threading.Thread(target=_produce, args=(settings, start + timeline.burst, start + timeline.end)),
        threading.Thread(target=_sense, args=(settings, start + timeline.end)),
    ]
    for thread in threads:
        thread.start()
    clock.sleep(timeline.lake_away)
    _without_lake(Path(settings.lake_uri), timeline.lake_back - timeline.lake_away)
    for thread in threads:
        thread.join()


def _produce(settings: Settings, burst: float, end: float) -> None:
    due, rows_of_burst = dict.fromkeys(_PACES, 0.0), _readings(10)
    with Timestore(settings) as store, store.staging() as staging:
        while clock.monotonic() < end:
            for dataset, (pause, rows) in _PACES.items():
                if clock.monotonic() >= due[dataset]:
                    due[dataset] = clock.monotonic() + pause
                    staging.submit(dataset, _readings(rows))
            if clock.monotonic() >= burst:
                burst = end
                _flood(lambda: staging.submit("trips", rows_of_burst))
            clock.sleep(0.05)


def _flood(submit: Callable[[], object]) -> None:
    for _ in range(60):
        with suppress(QueueFull):
            submit()


def _sense(settings: Settings, end: float) -> None:
    """The work of the sensor and its runs: tick, flush due datasets, push."""
    with Timestore(settings) as store:
        while clock.monotonic() < end:
            for status in store.statuses():
                if status.decision.due and status.decision.trigger is not None:
                    with suppress(TimestoreError):
                        store.flush(status.backlog.dataset, status.decision.trigger, "picture")
            store.area.ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(clock.now())))
            push_metrics(store.area, store.settings)
            clock.sleep(0.5)


def _without_lake(lake: Path, seconds: float) -> None:
    """A file replaces the lake's folder: every flush fails, nothing is lost."""
    away = lake.with_name("lake-away")
    lake.mkdir(parents=True, exist_ok=True)  # nothing may have been flushed yet
    lake.rename(away)
    lake.touch()
    clock.sleep(seconds)
    lake.unlink()
    away.rename(lake)


def _readings(rows: int) -> pa.Table:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    times = [start + timedelta(seconds=number) for number in range(rows)]
    values = pa.array([float(number) for number in range(rows)])
    columns = dict.fromkeys(("temperature", "wind", "visibility"), values)
    return pa.table({"at": pa.array(times, pa.timestamp("us", "UTC")), **columns})

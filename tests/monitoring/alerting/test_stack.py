"""Failures reach the people on call, through real servers, and are resolved after recovery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.monitoring.alerting import stack
from tests.monitoring.alerting.activity import readings
from tests.monitoring.alerting.stack import Stack, beat
from timestore_pipeline.errors import QueueFull, TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

pytestmark = pytest.mark.service

SHARDS = ("dead", "reviving", "failing", "flooded", "full", "never")

Opener = Callable[..., Timestore]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack.running(tmp_path_factory.mktemp("stack"), SHARDS) as started:
        yield started


@pytest.fixture
def opened(running: Stack, tmp_path: Path) -> Iterator[Opener]:
    """Opens a shard that pushes; closed with the test."""
    stores: list[Timestore] = []

    def opening(shard: str, **limits: int | str) -> Timestore:
        stores.append(Timestore(running.settings(tmp_path, shard, **limits)))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


def stage(store: Timestore, dataset: str, batches: int, rows: int = 10) -> None:
    with store.staging() as staging:
        for _ in range(batches):
            staging.enqueue(dataset, readings(rows))


def seen(running: Stack, store: Timestore, declared: series.CounterSeries, **labels: str) -> None:
    """Beat, and wait until Prometheus has a sample: an increase needs something to begin from."""
    beat(store)
    matchers = ",".join(f'{name}="{value}"' for name, value in {"shard": store.area.shard, **labels}.items())
    running.prometheus.query_until(f"{series.PREFIX}{declared.name}{{{matchers}}}", bool)


def fail_to_flush(store: Timestore, dataset: str) -> None:
    with pytest.raises(TimestoreError):
        store.flush(dataset, Trigger.AGE, "test")


def blocked(settings: Settings) -> Path:
    """A file where the lake's folder should be."""
    lake = Path(settings.lake_uri)
    lake.touch()
    return lake


def test_a_dead_daemon_is_detected_without_a_push(running: Stack, opened: Opener) -> None:
    store = opened("dead", staging_flush_max_age_ms=1_000)
    stage(store, "deep", batches=4)
    beat(store)  # the last sign of life: from here on the gateway repeats itself
    for alert in ("TimestoreOldestBatch", "TimestoreSensorStale", "TimestorePushStale"):
        assert running.operators.delivered(alert, shard="dead")["labels"]["shard"] == "dead"
    found = running.operators.delivered("TimestoreBacklog", shard="dead", severity="page", dataset="deep")
    assert found["annotations"]["summary"] == "deep: 4 batches are not published yet"


def test_an_alert_resolves_after_recovery(running: Stack, opened: Opener) -> None:
    store = opened("reviving", staging_flush_max_age_ms=1_000)
    stage(store, "trips", batches=1)
    beat(store)
    for alert in ("TimestoreOldestBatch", "TimestoreSensorStale"):
        running.operators.delivered(alert, shard="reviving")
    store.flush("trips", Trigger.MANUAL, "test")
    for alert in ("TimestoreOldestBatch", "TimestoreSensorStale", "TimestorePushStale"):
        running.operators.delivered(alert, "resolved", meanwhile=partial(beat, store), shard="reviving")


def test_failing_flushes_warn_and_page_once_batches_are_dropped(running: Stack, opened: Opener) -> None:
    store = opened("failing", staging_max_pending=1)
    lake = blocked(store.settings)
    stage(store, "trips", batches=1)
    for _ in range(5):
        fail_to_flush(store, "trips")
        seen(running, store, series.counter("flushes_total"), result="failure")
    found = running.operators.delivered("TimestoreFlushFailing", meanwhile=partial(beat, store), shard="failing")
    assert found["annotations"]["summary"] == "trips: 100% of the flushes fail"
    overflow(store)
    running.operators.delivered("TimestoreBackpressure", meanwhile=partial(beat, store), severity="page")
    lake.unlink()
    store.flush("trips", Trigger.MANUAL, "test")


def overflow(store: Timestore) -> None:
    """Offer batches faster than one by one can be made durable."""
    with store.staging() as staging, suppress(QueueFull):
        for _ in range(10_000):
            staging.submit("trips", readings(10))
        raise AssertionError("the queue never filled")


def test_an_overflowing_queue_alerts_with_its_reason(running: Stack, opened: Opener) -> None:
    store = opened("flooded", staging_max_pending=1)
    stage(store, "trips", batches=1)
    seen(running, store, series.counter("dropped_batches_total"), dataset="trips", reason="queue_full")
    overflow(store)
    found = running.operators.delivered("TimestoreBatchesDropped", meanwhile=partial(beat, store), shard="flooded")
    assert (found["labels"]["reason"], found["labels"]["dataset"]) == ("queue_full", "trips")
    running.operators.delivered("TimestoreBatchesDropped", "resolved", meanwhile=partial(beat, store), shard="flooded")


def test_a_full_guardrail_alerts_and_a_flush_resolves_it(running: Stack, opened: Opener) -> None:
    store = opened("full", staging_max_dataset_bytes=200_000, staging_flush_max_bytes=100_000)
    stage(store, "trips", batches=1)
    seen(running, store, series.counter("guardrail_exceeded_total"), dataset="trips", guardrail="dataset_bytes")
    stage(store, "trips", batches=20, rows=2_000)
    keep = partial(beat, store)
    running.operators.delivered("TimestoreGuardrail", meanwhile=keep, shard="full", guardrail="dataset_bytes")
    running.operators.delivered("TimestoreDatasetDisk", meanwhile=keep, shard="full", severity="page")
    store.flush("trips", Trigger.GUARDRAIL, "test")
    running.operators.delivered("TimestoreDatasetDisk", "resolved", meanwhile=keep, shard="full", severity="page")


def test_a_shard_that_was_never_heard_of_is_missed(running: Stack) -> None:
    found = running.operators.delivered("TimestoreAbsent", shard="never")
    assert found["annotations"]["runbook_url"].endswith("#timestore-absent")

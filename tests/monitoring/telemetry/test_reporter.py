"""A producer pushes the state of its own batches, because no other process may be running."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from tests.monitoring.telemetry.conftest import HOUR, MILLISECOND, readings
from tests.monitoring.telemetry.gateway import Gateway, listening
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.monitoring.telemetry import push
from timestore_pipeline.monitoring.telemetry.push import push_metrics
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with listening() as listener:
        yield listener


@pytest.fixture
def pushing(settings: Settings, gateway: Gateway) -> Settings:
    return settings.model_copy(update={"pushgateway_url": gateway.url, "metrics_push_interval_ms": HOUR // MILLISECOND})


@pytest.fixture
def told(store: Timestore, pushing: Settings) -> Timestore:
    """The gateway knows that nothing waits, and no push is due for an hour."""
    for dataset in ("weather", "planes"):
        store.flush(dataset, Trigger.MANUAL, "test")
    assert push_metrics(store.area, pushing)
    return store


def stage(settings: Settings, dataset: str = "weather") -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue(dataset, readings(3))


def test_an_unreported_batch_is_pushed_before_its_producer_ends(
    told: Timestore, pushing: Settings, gateway: Gateway
) -> None:
    stage(pushing)
    [_, (_, _, body)] = gateway.requests
    waiting = told.area.backlog("weather").oldest_staged_at
    assert waiting is not None
    [value] = re.findall(r'^timestore_staging_oldest_staged_timestamp_seconds{dataset="weather".*} (.*)$', body, re.M)
    assert float(value) == waiting.timestamp()


def test_a_reported_backlog_is_not_pushed_again_with_every_batch(
    told: Timestore, pushing: Settings, gateway: Gateway
) -> None:
    for dataset in ("weather", "weather", "planes", "weather", "planes"):
        stage(pushing, dataset)
    assert len(gateway.requests) == 3  # the first of each dataset


def test_a_producer_that_lives_pushes_when_it_is_time(told: Timestore, pushing: Settings, gateway: Gateway) -> None:
    with StagingManager.open(pushing.model_copy(update={"metrics_push_interval_ms": 0})):
        assert gateway.another(len(gateway.requests))


def test_a_gateway_that_fails_is_not_asked_by_everyone_who_leaves(
    told: Timestore, pushing: Settings, gateway: Gateway, long_pauses: None
) -> None:
    gateway.status = 500
    for dataset in ("weather", "planes", "weather"):
        stage(pushing, dataset)
    assert len(gateway.requests) == 2


def test_a_gateway_that_hangs_does_not_hold_a_producer(
    told: Timestore, pushing: Settings, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "DEADLINE", 0.05)
    gateway.answering.clear()
    stage(pushing)
    assert told.area.ledger.pushes.state().failures == 1


def test_a_push_that_died_in_progress_keeps_no_batch_out_of_the_series(
    told: Timestore, pushing: Settings, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the last one of a daemon that was killed: nothing pushes after the producer."""
    monkeypatch.setattr(push, "DEADLINE", 3.0)
    assert told.area.ledger.pushes.begin(HOUR)
    stage(pushing)
    assert len(gateway.requests) == 2


def test_without_a_gateway_there_is_no_thread(settings: Settings) -> None:
    with StagingManager.open(settings):
        assert "timestore-reporter" not in {thread.name for thread in threading.enumerate()}

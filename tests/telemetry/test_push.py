"""A push arrives whole, or is given up quietly and in time."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.services.ports import free_port
from tests.services.pushgateway import pushgateway
from tests.services.web import get
from tests.telemetry.gateway import Gateway, listening
from timestore_pipeline.settings import Settings
from timestore_pipeline.telemetry import push
from timestore_pipeline.telemetry.push import push_metrics
from timestore_pipeline.wiring import Timestore

__all__ = ["pushgateway"]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with listening() as listener:
        yield listener


def aimed_at(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"pushgateway_url": url})


def test_a_push_replaces_the_shards_group(store: Timestore, settings: Settings, gateway: Gateway) -> None:
    assert push_metrics(store.area, aimed_at(settings, gateway.url))
    [(method, path, body)] = gateway.requests
    assert (method, path) == ("PUT", "/metrics/job/timestore/shard/edge-7")
    assert 'timestore_staging_queue_depth{dataset="weather",metric="rows",shard="edge-7"} 20.0' in body


def test_nothing_is_pushed_without_a_gateway(store: Timestore, settings: Settings) -> None:
    assert not push_metrics(store.area, settings)


@pytest.mark.parametrize("url", ["ftp://nowhere", "http://[broken", "127.0.0.1:none"])
def test_an_address_that_cannot_work_is_a_failed_push(store: Timestore, settings: Settings, url: str) -> None:
    assert not push_metrics(store.area, aimed_at(settings, url))


def test_a_dead_port_is_a_failed_push(store: Timestore, settings: Settings) -> None:
    assert not push_metrics(store.area, aimed_at(settings, f"http://127.0.0.1:{free_port()}"))


def test_a_refusal_is_a_failed_push(store: Timestore, settings: Settings, gateway: Gateway) -> None:
    gateway.status = 400
    assert not push_metrics(store.area, aimed_at(settings, gateway.url))


def test_a_gateway_that_does_not_answer_is_given_up(
    store: Timestore, settings: Settings, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "DEADLINE", 0.05)
    gateway.answering.clear()
    assert not push_metrics(store.area, aimed_at(settings, gateway.url))


def test_a_closed_ledger_is_a_failed_push(settings: Settings, gateway: Gateway) -> None:
    with Timestore(settings) as store:
        pass
    assert not push_metrics(store.area, aimed_at(settings, gateway.url))
    assert gateway.requests == []


def test_an_outage_is_one_line_in_the_log(
    store: Timestore, settings: Settings, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    configured = aimed_at(settings, gateway.url)
    for status in (500, 500, 200, 200, 500):
        gateway.status = status
        push_metrics(store.area, configured)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]


@pytest.mark.service
def test_the_real_pushgateway_serves_what_was_pushed(store: Timestore, settings: Settings, pushgateway: str) -> None:
    assert push_metrics(store.area, aimed_at(settings, pushgateway))
    line = (
        'timestore_staging_queue_depth{dataset="weather",instance="",job="timestore",metric="rows",shard="edge-7"} 20'
    )
    assert line in get(f"{pushgateway}/metrics")

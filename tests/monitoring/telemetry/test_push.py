"""A push arrives whole, or is abandoned in time and without an error."""

from __future__ import annotations

import logging
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.request import Request, urlopen

import pytest

from demo.processes import free_port
from tests.monitoring.telemetry.conftest import HOUR, MILLISECOND, readings
from tests.monitoring.telemetry.gateway import Gateway, dripping, listening
from tests.monitoring.telemetry.scraping import registry
from tests.services.pushgateway import pushgateway
from tests.services.web import get
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.monitoring.telemetry import push
from timestore_pipeline.monitoring.telemetry.push import (
    begin_if_due,
    is_due,
    push_if_due,
    push_if_overdue,
    push_metrics,
)
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger.pushes import PushState
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

__all__ = ["pushgateway"]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with listening() as listener:
        yield listener


def aimed_at(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"pushgateway_url": url, "metrics_push_interval_ms": HOUR // MILLISECOND})


def test_a_push_replaces_the_shards_group(store: Timestore, settings: Settings, gateway: Gateway) -> None:
    assert push_metrics(store.area, aimed_at(settings, gateway.url))
    [(method, path, body)] = gateway.requests
    assert (method, path) == ("PUT", "/metrics/job/timestore/shard/edge-7")
    assert 'timestore_staging_queue_depth{dataset="weather",metric="rows",shard="edge-7"} 20\n' in body


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


def test_a_push_without_an_answer_is_abandoned(
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
    assert exposed(store, settings, "metrics_push_failures_total") == 3


def exposed(store: Timestore, settings: Settings, name: str) -> float | None:
    return registry(store.area, settings).get_sample_value(f"timestore_staging_{name}", {"shard": "edge-7"})


def test_failures_and_the_last_success_are_durable(store: Timestore, settings: Settings, gateway: Gateway) -> None:
    configured = aimed_at(settings, gateway.url)
    assert exposed(store, settings, "metrics_push_failures_total") == 0
    assert exposed(store, settings, "metrics_pushed_timestamp_seconds") is None
    gateway.status = 503
    push_metrics(store.area, configured)
    gateway.status = 200
    before = clock.now().timestamp()
    push_metrics(store.area, configured)
    with Timestore(settings) as other:
        assert exposed(other, settings, "metrics_push_failures_total") == 1
        assert before <= (exposed(other, settings, "metrics_pushed_timestamp_seconds") or 0) <= clock.now().timestamp()


def test_pushes_come_at_most_once_an_interval_unless_a_flush_ended(
    store: Timestore, settings: Settings, gateway: Gateway
) -> None:
    configured = aimed_at(settings, gateway.url)
    for _ in range(3):
        assert push_if_due(store.area, configured)
    assert len(gateway.requests) == 1
    store.flush("planes", Trigger.MANUAL, "test")
    with Timestore(settings) as other:
        for _ in range(3):
            assert push_if_due(other.area, configured)
    assert len(gateway.requests) == 2
    assert 'flush_rows_total{dataset="planes",result="success",shard="edge-7"} 5' in gateway.requests[1][2]


def test_a_failing_gateway_is_left_alone_by_every_process(
    store: Timestore, settings: Settings, gateway: Gateway, long_pauses: None
) -> None:
    gateway.status = 500
    configured = aimed_at(settings, gateway.url)
    assert not push_if_due(store.area, configured)
    store.flush("planes", Trigger.MANUAL, "test")
    with Timestore(settings) as other:
        assert push_if_due(other.area, configured)
    assert len(gateway.requests) == 1


def test_pushes_do_not_overtake_each_other(store: Timestore, settings: Settings, gateway: Gateway) -> None:
    configured = aimed_at(settings, gateway.url)
    gateway.answering.clear()
    first = begin_if_due(store.area, configured)
    assert first is not None
    store.flush("planes", Trigger.MANUAL, "test")
    with Timestore(settings) as other:
        assert begin_if_due(other.area, configured) is None
        gateway.answering.set()
        assert first.settle()
        assert push_if_due(other.area, configured)
    assert len(gateway.requests) == 2


def test_a_pusher_that_died_is_waited_for_no_longer_than_a_gateway(
    store: Timestore, settings: Settings, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.area.ledger.pushes.begin(HOUR)
    assert begin_if_due(store.area, aimed_at(settings, gateway.url)) is None
    monkeypatch.setattr(push, "DEADLINE", 0.0)
    assert begin_if_due(store.area, aimed_at(settings, gateway.url)) is not None


def test_an_impatient_process_pushes_only_when_overdue(
    store: Timestore, settings: Settings, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = aimed_at(settings, gateway.url).model_copy(update={"metrics_push_interval_ms": 0})
    monkeypatch.setattr(push, "_OVERDUE", HOUR)
    for _ in range(3):
        assert push_if_overdue(store.area, configured)
    assert len(gateway.requests) == 1
    monkeypatch.setattr(push, "_OVERDUE", timedelta(0))
    assert push_if_overdue(store.area, configured)
    assert len(gateway.requests) == 2


NOW = datetime(2026, 3, 1, tzinfo=UTC)
TEN = timedelta(seconds=10)


def tried(seconds_ago: float, **state: int) -> PushState:
    instant = clock.to_micros(NOW - timedelta(seconds=seconds_ago))
    return PushState(tried_at=instant, pushed_at=instant, **state)


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (PushState(), True),
        (tried(9.9), False),
        (tried(10), True),
        (tried(0, flushes_ended=6), True),
        (tried(-3600), True),  # the clock was set back
        (tried(4.9, failures_in_a_row=1), False),
        (tried(5, failures_in_a_row=1), True),
        (tried(10, failures_in_a_row=3), False),
        (tried(59, failures_in_a_row=1000), False),
        (tried(60, failures_in_a_row=1000), True),
    ],
)
def test_when_a_push_is_due(state: PushState, due: bool) -> None:
    ended = 0 if state.flushes_ended == 0 else 7
    assert is_due(state, ended, NOW, TEN) is due


def test_a_push_to_a_silent_gateway_is_abandoned(
    store: Timestore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "DEADLINE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not push_metrics(store.area, aimed_at(settings, f"http://127.0.0.1:{silent.getsockname()[1]}"))


def senders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "timestore-push"]


def test_a_push_to_a_dripping_gateway_is_abandoned_and_leaves_no_thread(
    store: Timestore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "DEADLINE", 0.2)
    with dripping() as url:
        assert not push_metrics(store.area, aimed_at(settings, url))
        for thread in senders():
            thread.join(30)
        assert senders() == []


def test_a_push_that_hangs_is_waited_for_only_by_who_wants_the_answer(
    store: Timestore, settings: Settings, gateway: Gateway
) -> None:
    gateway.answering.clear()
    under_way = begin_if_due(store.area, aimed_at(settings, gateway.url))
    assert under_way is not None
    assert not under_way.done
    gateway.answering.set()
    assert under_way.settle()


def test_a_refusal_is_logged_with_the_gateways_reason(
    store: Timestore, settings: Settings, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.status, gateway.says = 400, "pushed metrics are invalid or inconsistent with existing metrics\n" * 100
    assert not push_metrics(store.area, aimed_at(settings, gateway.url))
    assert "400 Bad Request: pushed metrics are invalid" in caplog.text
    assert len(caplog.text) < 1_000


def test_a_redirect_is_not_followed(store: Timestore, settings: Settings, gateway: Gateway) -> None:
    with listening() as elsewhere:
        gateway.status, gateway.moved_to = 307, elsewhere.url
        assert not push_metrics(store.area, aimed_at(settings, gateway.url))
        assert elsewhere.requests == []


def test_a_user_and_a_password_in_the_address_are_sent(store: Timestore, settings: Settings, gateway: Gateway) -> None:
    url = gateway.url.replace("http://", "http://prom:s%40cret@")
    assert push_metrics(store.area, aimed_at(settings, url))
    assert gateway.authorized == ["Basic " + b64encode(b"prom:s@cret").decode()]
    assert gateway.requests[0][1] == "/metrics/job/timestore/shard/edge-7"


@pytest.mark.parametrize(
    "address", ["prom:pa/s3@", "http://prom:s3@", "https://prom:s3:@", "http://s3@x@", "http://s3@["]
)
def test_a_password_is_in_no_log(
    store: Timestore, settings: Settings, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    assert not push_metrics(store.area, aimed_at(settings, f"{address}127.0.0.1:{free_port()}"))
    assert "could not be pushed to http" in caplog.text
    assert "s3" not in caplog.text


@pytest.mark.service
def test_the_real_pushgateway_names_the_metric_it_rejects(
    store: Timestore, settings: Settings, pushgateway: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody pushed a series of this name with another type, under a group of his own."""
    other = "# TYPE timestore_staging_queue_depth counter\ntimestore_staging_queue_depth 1\n"
    urlopen(Request(f"{pushgateway}/metrics/job/other", other.encode(), method="PUT"), timeout=60).close()
    assert not push_metrics(store.area, aimed_at(settings, pushgateway))
    assert "400 Bad Request: pushed metrics are invalid or inconsistent" in caplog.text


@pytest.mark.service
def test_the_real_pushgateway_serves_the_pushed_series(store: Timestore, settings: Settings, pushgateway: str) -> None:
    assert push_metrics(store.area, aimed_at(settings, pushgateway))
    line = (
        'timestore_staging_queue_depth{dataset="weather",instance="",job="timestore",metric="rows",shard="edge-7"} 20'
    )
    assert line in get(f"{pushgateway}/metrics")


@pytest.mark.service
def test_series_of_a_removed_dataset_leave_the_real_pushgateway_and_come_back_grown(
    store: Timestore, settings: Settings, pushgateway: str
) -> None:
    configured = aimed_at(settings, pushgateway)
    accepted = 'timestore_staging_accepted_rows_total{dataset="planes",instance="",job="timestore",shard="edge-7"}'
    with store.staging() as staging:
        assert push_metrics(store.area, configured)
        assert f"{accepted} 5" in get(f"{pushgateway}/metrics")
        store.flush("planes", Trigger.MANUAL, "test")
        store.area.ledger.datasets.remove("planes")
        assert push_metrics(store.area, configured)
        assert 'dataset="planes"' not in get(f"{pushgateway}/metrics")
        staging.enqueue("planes", readings(2))
        assert push_metrics(store.area, configured)
    assert f"{accepted} 7" in get(f"{pushgateway}/metrics")

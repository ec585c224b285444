"""Metrics go out after every op, and a gateway in any state leaves the run alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import dagster as dg
import pytest

from tests.defs.flushing import build, hourly, logged, published
from tests.monitoring.telemetry.gateway import listening
from timestore_pipeline import StagingManager
from timestore_pipeline.defs.resource import MetricsGateway
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.monitoring.telemetry import push
from timestore_pipeline.wiring import Timestore

DEAD = "http://127.0.0.1:9"  # the discard port: nothing listens


class _Gateway(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        assert isinstance(self.server, _Gateway)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Gateway]:
    with _Gateway() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("TIMESTORE_METRICS_PUSH_INTERVAL_MS", "3600000")  # however long a run takes
        yield server
        server.shutdown()


def test_the_first_op_pushes_and_the_one_in_which_the_flush_ends(
    staging: StagingManager, instance: dg.DagsterInstance, gateway: _Gateway
) -> None:
    staging.enqueue("weather", hourly(3))
    assert build(instance, "weather").success
    assert len(gateway.bodies) == 2
    counted = 'timestore_staging_flush_rows_total{dataset="weather",result="success",shard="shard-0"} 3\n'
    assert counted not in gateway.bodies[0]
    assert counted in gateway.bodies[1]


def test_a_failed_op_pushes_too(
    staging: StagingManager, instance: dg.DagsterInstance, gateway: _Gateway, home: Path
) -> None:
    staging.enqueue("weather", hourly(3))
    (home / "lake").mkdir()
    (home / "lake" / "weather").write_text("not a table")
    assert not build(instance, "weather").success
    assert 'timestore_staging_flushes_total{dataset="weather",result="failure"' in gateway.bodies[1]


def test_a_dead_gateway_leaves_the_run_alone_and_is_mentioned_once(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", DEAD)
    monkeypatch.setattr(push, "_FIRST_PAUSE", timedelta(hours=1))  # however long the run takes
    staging.enqueue("weather", hourly(3))
    run = build(instance, "weather")
    assert run.success
    assert published(timestore, "weather") == [0, 1, 2]
    assert logged(instance, run.run_id).count("metrics were not pushed") == 1


def test_a_gateway_that_hangs_is_asked_once_and_no_run_fails(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs, eight ops, one question: that is the most that an outage may cost."""
    monkeypatch.setattr(push, "DEADLINE", 2.0)
    monkeypatch.setattr(push, "_FIRST_PAUSE", timedelta(hours=1))  # however long the runs take
    with listening() as hanging:
        hanging.answering.clear()
        monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", hanging.url)
        for dataset in ("weather", "planes"):
            staging.enqueue(dataset, hourly(3))
            assert build(instance, dataset).success
            assert published(timestore, dataset) == [0, 1, 2]
        assert len(hanging.requests) == 1
    state = timestore.area.ledger.pushes.state()
    assert (state.failures, state.pushed) == (1, None)


def test_a_gateway_that_hangs_holds_up_no_hook_and_its_late_answer_is_kept(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("run")
    staging.enqueue("weather", hourly(3))
    with listening() as hanging:
        hanging.answering.clear()
        configured = timestore.settings.model_copy(update={"pushgateway_url": hanging.url})
        monkeypatch.setattr(timestore, "settings", configured)
        gateway = MetricsGateway(timestore)
        for _ in range(4):
            gateway.push(log)
        assert timestore.area.ledger.pushes.state().tried is None
        hanging.answering.set()
        timestore.flush("weather", Trigger.MANUAL, "run")
        gateway.close(log)
        assert len(hanging.requests) == 2
    assert timestore.area.ledger.pushes.state().flushes_ended == 1


def test_without_a_gateway_nothing_is_said(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(3))
    run = build(instance, "weather")
    assert "metrics were not pushed" not in logged(instance, run.run_id)


def test_no_hook_ever_fails(
    staging: StagingManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", "http://no host/at all")
    staging.enqueue("weather", hourly(3))
    run = build(instance, "weather")
    kinds = {event.event_type for event in run.all_events}
    assert dg.DagsterEventType.HOOK_ERRORED not in kinds
    assert dg.DagsterEventType.HOOK_COMPLETED in kinds

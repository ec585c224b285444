"""A Dagster daemon that ticked and pushed is killed, and the people on call are notified: every process is real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.dagster_processes import DagsterProcesses
from demo.environment import Home
from demo.processes import Children, free_port
from tests.monitoring.alerting import stack
from tests.monitoring.alerting.activity import readings
from tests.monitoring.alerting.stack import Stack
from timestore_pipeline.model.flush import FlushState, Trigger
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(900)]

SHARD = "daemon"
TICKING = RuleDurations(4)  # half a minute of silence is too long; the daemon looks every five seconds
MAX_AGE_MS = 2_000
OF_TRIPS = f'shard="{SHARD}",dataset="trips"'
WAITING = f'{series.PREFIX}queue_depth{{metric="batches",{OF_TRIPS}}} > 0'
ALERTING = f'ALERTS{{alertstate="firing",shard="{SHARD}",alertname=~"TimestoreSensorStale|TimestoreOldestBatch"}}'
PUBLISHED = f'{series.PREFIX}flushes_total{{trigger="age",result="success",{OF_TRIPS}}} > 0'


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Stack]:
    with stack.running(tmp_path, [SHARD], TICKING) as started:
        yield started


@pytest.fixture
def store(running: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Timestore]:
    """Its settings are in the environment, for Dagster's processes to read."""
    home = Home(tmp_path / "home")
    home.dagster.mkdir(parents=True)
    given = {
        "TIMESTORE_HOME": str(home.root),
        "TIMESTORE_SHARD": SHARD,
        "TIMESTORE_PUSHGATEWAY_URL": running.gateway,
        "TIMESTORE_STAGING_FLUSH_MAX_AGE_MS": str(MAX_AGE_MS),
        "DAGSTER_HOME": str(home.dagster),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with Timestore(Settings.from_env()) as opened:
        yield opened


@pytest.fixture
def dagster(store: Timestore) -> Iterator[DagsterProcesses]:
    home = Home(store.settings.home)
    with Children(home.logs, os.environ) as children:
        processes = DagsterProcesses(children, home, free_port())
        processes.start_ticking()
        yield processes


def stage(store: Timestore) -> None:
    with store.staging() as staging:
        staging.enqueue("trips", readings(10))


def test_a_killed_daemon_is_detected_by_its_silence_and_by_batches_staged_later(
    running: Stack, store: Timestore, dagster: DagsterProcesses
) -> None:
    stage(store)
    running.prometheus.query_until(PUBLISHED, bool)
    running.prometheus.query_until(WAITING, lambda samples: not samples)
    running.prometheus.query_until(ALERTING, lambda samples: not samples)
    running.operators.alerts.clear()  # on a busy machine a daemon that starts is late, too
    dagster.kill_daemon()
    stage(store)
    found = running.operators.delivered("TimestoreOldestBatch", shard=SHARD, severity="page")
    assert found["labels"]["dataset"] == "trips"
    running.operators.delivered("TimestoreSensorStale", shard=SHARD, severity="page")
    [flush] = store.area.ledger.flushes.history("trips")
    assert (flush.trigger, flush.state) == (Trigger.AGE, FlushState.PUBLISHED)

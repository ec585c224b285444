"""Processes are killed one after the other, and to a real Prometheus no counter ever goes back."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.monitoring.telemetry import flushing_and_dying
from tests.monitoring.telemetry.flushing_and_dying import POINTS
from tests.services import prometheus
from tests.services.forked import run_forked
from tests.services.prometheus import Prometheus
from tests.services.pushgateway import pushgateway
from timestore_pipeline.maintain import dataset_maintenance
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.push import push_metrics
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger.pushes import PushState
from timestore_pipeline.wiring import Timestore

__all__ = ["pushgateway"]

KILLS = 20
ENDED = "sum(timestore_staging_flushes_total)"


@pytest.mark.service
@pytest.mark.slow
def test_no_counter_goes_back_in_twenty_kills(settings: Settings, pushgateway: str, tmp_path: Path) -> None:
    pushing = settings.model_copy(update={"pushgateway_url": pushgateway})
    with prometheus.serving(tmp_path, prometheus.scrape("pushgateway", pushgateway)) as server:
        for kill in range(KILLS):
            assert killed(pushing, POINTS[kill % len(POINTS)])
            if kill == KILLS // 2:
                compact(pushing)
            scraped(server, settings)
        with Timestore(pushing) as store:
            assert push_metrics(store.area, pushing)
        total = scraped(server, settings)
        assert total >= KILLS * 3 // len(POINTS)
        resets = {name: server.query(f"resets({name}[1h])") for name in cumulative()}
    assert [name for name, found in resets.items() if set(found.values()) - {0.0}] == []
    assert [name for name, found in resets.items() if not found] == []


def cumulative() -> list[str]:
    """Every counter and every part of the histogram."""
    parts = [f"{series.FLUSH_DURATION.name}_{part}" for part in ("bucket", "sum", "count")]
    shard = series.METRICS_PUSH_FAILURES.name
    return [series.PREFIX + name for name in [*(one.name for one in series.COUNTERS), *parts, shard]]


def compact(settings: Settings) -> None:
    with Timestore(settings) as store:
        [done] = dataset_maintenance.maintain(store.area, store.lake, ["weather"], store.maintain_options(min_files=2))
        assert done.compacted_files > 1


def killed(settings: Settings, point: str) -> bool:
    """Whether the victim died of the signal."""
    return run_forked(flushing_and_dying.main, settings, point) == -signal.SIGKILL


def scraped(server: Prometheus, settings: Settings) -> int:
    """Wait until Prometheus has what was pushed last; returns how many flushes had ended by then."""
    with Timestore(settings) as store:
        state: PushState = store.area.ledger.pushes.state()
    if state.flushes_ended:
        server.query_until(ENDED, lambda found: set(found.values()) == {float(state.flushes_ended)})
    return state.flushes_ended

"""A Prometheus that is restarted, and shards that share a gateway, see every series correctly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitoring.telemetry.conftest import readings
from tests.services import prometheus
from tests.services.prometheus import Prometheus, Samples
from tests.services.pushgateway import pushgateway
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.monitoring.telemetry.push import push_metrics
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

__all__ = ["pushgateway"]

pytestmark = pytest.mark.service

PUBLISHED = 'timestore_staging_flush_rows_total{dataset="weather",result="success"}'


def by_shard(samples: Samples) -> dict[str, float]:
    return {dict(labels)["shard"]: value for labels, value in samples.items()}


def push(settings: Settings, rows: int) -> None:
    """Publish that many rows of `weather`, and tell the gateway."""
    with Timestore(settings) as store:
        with store.staging() as staging:
            staging.enqueue("weather", readings(rows))
        store.flush("weather", Trigger.MANUAL, "test")
        assert push_metrics(store.area, settings)


def published(server: Prometheus, expected: dict[str, float]) -> None:
    server.query_until(PUBLISHED, lambda samples: by_shard(samples) == expected)


def test_counters_and_their_past_outlive_a_restart_of_prometheus_and_shards_do_not_meet(
    settings: Settings, pushgateway: str, tmp_path: Path
) -> None:
    here = settings.model_copy(update={"pushgateway_url": pushgateway})
    there = Settings.build(home=tmp_path / "there", shard="edge-8", pushgateway_url=pushgateway)
    scraping = prometheus.scrape("pushgateway", pushgateway)
    push(here, 30)
    push(there, 4)
    with prometheus.serving(tmp_path, scraping) as server:
        published(server, {"edge-7": 30, "edge-8": 4})
    push(here, 5)
    with prometheus.serving(tmp_path, scraping) as server:
        published(server, {"edge-7": 35, "edge-8": 4})
        assert by_shard(server.query(f"resets({PUBLISHED}[1h])")) == {"edge-7": 0, "edge-8": 0}
        grown = server.query(f"{PUBLISHED} - min_over_time({PUBLISHED}[1h])")
        assert by_shard(grown) == {"edge-7": 5, "edge-8": 0}

"""A stretch of time as promtool plays it: the series of a healthy shard, some of them replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.alerting.activity import SHARD

STEP = 15  # seconds between two samples
LONG = 99  # samples: 25 minutes, longer than every scene but that of a slow day

Series = Mapping[str, str]  # selector -> promtool's notation of its values


def named(name: str, **labels: str) -> str:
    """A series of the shard; names without the product's prefix."""
    return _written(f"timestore_staging_{name}", {**labels, "shard": SHARD})


def of_server(name: str, **labels: str) -> str:
    """A series of the shard's HTTP server."""
    return _written(f"timestore_api_{name}", {**labels, "shard": SHARD})


@dataclass(frozen=True)
class Scene:
    """`series` as they differ from a healthy shard; at `at` these alerts, and no others of the name, are up."""

    at: str
    series: Series
    firing: tuple[Mapping[str, str], ...] = field(default=())  # labels beside alertname, severity and shard


def healthy(exposition: str, samples: int = LONG) -> dict[str, str]:
    """The shard of an exposition, on a disk that is half full, and then nothing grows, the sensor ticks and pushes."""
    families = text_string_to_metric_families(exposition)
    constant = {
        _written(sample.name, sample.labels): f"{sample.value}x{samples}" for f in families for sample in f.samples
    }
    ticking = f"0+{STEP}x{samples}"
    pushed = _written("push_time_seconds", {"job": "timestore", "instance": "", "shard": SHARD})
    volume = {named("volume_size_bytes"): f"2e11x{samples}", named("volume_available_bytes"): f"1e11x{samples}"}
    return {**constant, **volume, named("sensor_last_tick_timestamp_seconds"): ticking, pushed: ticking}


def played(scene: Scene, base: Series, alert: str, severity: str) -> dict[str, Any]:
    """One entry of `tests:` in promtool's file."""
    common = {"alertname": alert, "alertstate": "firing", "severity": severity, "shard": SHARD}
    selector = f'ALERTS{{alertname="{alert}",alertstate="firing",severity="{severity}"}}'
    expected = [{"labels": _written("ALERTS", {**common, **labels}), "value": 1} for labels in scene.firing]
    return {
        "interval": f"{STEP}s",
        "input_series": [{"series": name, "values": values} for name, values in {**base, **scene.series}.items()],
        "promql_expr_test": [{"expr": selector, "eval_time": scene.at, "exp_samples": expected}],
    }


def _written(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(f'{key}={chr(34)}{labels[key]}{chr(34)}' for key in sorted(labels))}}}"

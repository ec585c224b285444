"""The whole chain, for real: pipeline -> push -> Pushgateway -> Prometheus -> rule -> Alertmanager -> webhook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.stack import prometheus_config
from tests.services import alertmanager, prometheus, pushgateway
from timestore_pipeline.model.dataset import AlertOverrides
from timestore_pipeline.monitoring.alerting.alert import Watch
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.monitoring.alerting.rendering import rule_file
from timestore_pipeline.monitoring.telemetry.push import push_metrics
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

HURRY = RuleDurations(40)  # two minutes become three seconds, five minutes seven and a half


@dataclass(frozen=True)
class Stack:
    gateway: str
    prometheus: prometheus.Prometheus
    operators: alertmanager.Webhook

    def settings(self, home: Path, shard: str, **limits: int | str) -> Settings:
        """A shard that pushes here."""
        return Settings.build(home=home, shard=shard, pushgateway_url=self.gateway, **limits)


@contextmanager
def running(folder: Path, shards: Sequence[str], durations: RuleDurations = HURRY) -> Iterator[Stack]:
    """Everything up, with hurried rules for these shards."""
    with ExitStack() as started:
        operators = started.enter_context(alertmanager.webhook())
        gateway = started.enter_context(pushgateway.serving(folder))
        manager = started.enter_context(alertmanager.serving(folder, operators.url))
        rules = [_rules(folder, shard, durations) for shard in shards]
        config = prometheus_config(gateway, manager, rules, interval="200ms")
        server = started.enter_context(prometheus.serving(folder, config, rules))
        yield Stack(gateway, server, operators)


def beat(store: Timestore) -> None:
    """What a tick of the flush sensor leaves behind: its instant in the ledger, and a push."""
    store.area.ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(clock.now())))
    assert push_metrics(store.area, store.settings)


def _rules(folder: Path, shard: str, durations: RuleDurations) -> Path:
    path = folder / f"timestore-{shard}.rules.yml"
    path.write_text(rule_file(Watch(shard, {"deep": AlertOverrides(backlog_warn=2, backlog_page=3)}, durations)))
    return path

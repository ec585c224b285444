"""Prometheus, Pushgateway and Alertmanager as this system uses them: their commands and their configuration.

The smallest complete stack: pushes arrive, rules are evaluated, alerts are grouped and delivered. A larger stack needs
the same settings: `honor_labels`, the grouping, and the inhibition of a warning by its page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GATEWAY_PORT = 9091  # the Pushgateway's usual one


def prometheus_config(gateway: str, alertmanager: str, rules: Sequence[Path], interval: str) -> dict[str, Any]:
    """Configuration of a Prometheus that scrapes a Pushgateway; JSON is YAML."""
    timing = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    # Without honor_labels the gateway's own job and instance would replace the pushed labels.
    scrape = {"job_name": "pushgateway", "honor_labels": True, "static_configs": [_target(gateway)]}
    return {
        "global": timing,
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [scrape],
        "alerting": {"alertmanagers": [{"static_configs": [_target(alertmanager)]}]},
    }


def alertmanager_config(webhook: str | None, wait: str) -> dict[str, Any]:
    """Configuration of an Alertmanager. webhook: where alerts are posted; None = they are only shown."""
    receiver: dict[str, Any] = {"name": "operators"}
    if webhook:
        receiver["webhook_configs"] = [{"url": webhook, "send_resolved": True}]
    same = ["alertname", "shard", "dataset"]
    return {
        "route": {"receiver": "operators", "group_by": same, "group_wait": wait, "group_interval": "1s"},
        "receivers": [receiver],
        "inhibit_rules": [
            {"source_matchers": ['severity="page"'], "target_matchers": ['severity="warning"'], "equal": same}
        ],
    }


def prometheus_command(config: Path, data: Path, address: str) -> list[str]:
    options = {"config.file": config, "storage.tsdb.path": data, "web.listen-address": address}
    return ["prometheus", *_options(options)]


def alertmanager_command(config: Path, data: Path, address: str) -> list[str]:
    """A single one: clustering is off."""
    options = {"config.file": config, "storage.path": data, "web.listen-address": address}
    return ["prometheus-alertmanager", *_options(options), "--cluster.listen-address="]


def pushgateway_command(kept: Path, address: str) -> list[str]:
    """kept: the file of pushed samples; Debian's default would be one file for every gateway of the machine."""
    return ["prometheus-pushgateway", *_options({"persistence.file": kept, "web.listen-address": address})]


def _target(url: str) -> dict[str, list[str]]:
    return {"targets": [urlsplit(url).netloc]}


def _options(values: dict[str, Any]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]

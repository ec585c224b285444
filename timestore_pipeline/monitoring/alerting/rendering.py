"""The files that Prometheus and Grafana load: rendered, and each written whole or not at all.

There is one rule file per shard, and every expression in it is limited to that shard. So one Prometheus can load the
files of many shards without a rule firing twice, and a shard without any series still has a rule with its name.

Prometheus or Grafana may read a file at any moment. A crash leaves the old file, and at most a temporary one without a
suffix that they would load.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from timestore_pipeline.errors import MissingExtra, UnwritableOutput
from timestore_pipeline.monitoring.alerting.alert import RECORDED_EVERY, Alert, Watch
from timestore_pipeline.monitoring.alerting.alerts import alerts, recorded
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.system.durable import make_folder, replacing

RUNBOOK = "docs/runbooks/timestore-staging-operations.md"


def rule_file(watch: Watch, runbook: str = RUNBOOK) -> str:
    """YAML. runbook: address of the page whose headings are the alerts' names."""
    lines = [
        f"# Alert rules of shard {watch.shard}, by `timestore monitoring render`. Render again after a change of a",
        "# dataset's staging.alerts; changed flush thresholds and guardrails apply at once: they are read as series.",
        "groups:",
        *_group(f"timestore-{watch.shard}-recorded", watch.durations.span(RECORDED_EVERY)),
        *(line for name, expression in recorded(watch).items() for line in _recording(name, expression)),
        *_group(f"timestore-{watch.shard}"),
        *(line for alert in alerts(watch) for line in _alerting(alert, watch.durations, runbook)),
    ]
    return "\n".join(lines) + "\n"


def _group(name: str, interval: str = "") -> Iterator[str]:
    yield f"  - name: {_text(name)}"
    if interval:
        yield f"    interval: {interval}"
    yield "    rules:"


def _recording(name: str, expression: str) -> Iterator[str]:
    yield f"      - record: {name}"
    yield from _expression(expression)


def _alerting(alert: Alert, durations: RuleDurations, runbook: str) -> Iterator[str]:
    yield f"      - alert: {alert.name}"
    yield from _expression(alert.expression)
    if alert.hold:
        yield f"        for: {durations.span(alert.hold)}"
    yield from _mapping("labels", {"severity": alert.severity.value, **alert.labels})
    annotations = {"summary": alert.summary, "description": alert.description}
    yield from _mapping("annotations", annotations | {"runbook_url": f"{runbook}#{alert.anchor}"})


def _expression(expression: str) -> Iterator[str]:
    yield "        expr: |-"
    yield from (f"          {line}" for line in expression.splitlines())


def _mapping(name: str, values: Mapping[str, str]) -> Iterator[str]:
    yield f"        {name}:"
    yield from (f"          {key}: {_text(value)}" for key, value in values.items())


def _text(value: str) -> str:
    """Every JSON string is a YAML string."""
    return json.dumps(value, ensure_ascii=False)


def dashboard_json(durations: RuleDurations, runbook: str = RUNBOOK) -> str:
    """A dashboard to import or provision, its panels with links to the runbook.

    Its library is an optional extra: hosts that only stage and flush do not need it.

    Raises `MissingExtra` when Grafana's builders are not installed.
    """
    try:
        from timestore_pipeline.monitoring.alerting.grafana import dashboard_document
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"the dashboard needs the package {error.name}",
            hint="pip install 'timestore_pipeline[monitoring]', or render with --no-dashboard",
        ) from error
    return dashboard_document(durations, runbook)


def write_files(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write texts by file name, making the folder; raises `UnwritableOutput`."""
    try:
        make_folder(folder)
        for name, text in contents.items():
            with replacing(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        blocked = error.filename2 or error.filename or folder
        raise UnwritableOutput(f"{blocked}: {error.strerror}", hint="name a folder that can be written") from error
    return [folder / name for name in contents]

"""`timestore metrics`, and `timestore monitoring`: files for Prometheus and Grafana, from the limits in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from timestore_pipeline.cli.command_list import command_group
from timestore_pipeline.cli.output import AsJson, print_json, print_line, reporting
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.monitoring.alerting.alert import Watch
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.monitoring.alerting.rendering import RUNBOOK, dashboard_json, rule_file, write_files
from timestore_pipeline.monitoring.telemetry.metrics import exposition
from timestore_pipeline.wiring import Timestore

app = command_group("Alert rules and dashboards.")


def metrics() -> None:
    """Print the Prometheus exposition.

    \b
    Example:
      timestore metrics > /var/lib/prometheus/node-exporter/timestore.prom
    """
    with open_store() as store:
        print(exposition(store.area, store.settings), end="")


def render(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if missing; files of that name are replaced.")],
    runbook: Annotated[str, typer.Option(help="The runbook's address, for links from alerts and panels.")] = RUNBOOK,
    hurry: Annotated[float, typer.Option(min=1, max=1000, help="Divide every waiting time, to try alerts out.")] = 1,
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard", help="Alert rules only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the alert rules of this shard, and a dashboard for all shards.

    timestore-<shard>.rules.yml goes under `rule_files` of prometheus.yml; files of several shards lie side by side.
    timestore-dashboard.json is imported into Grafana, or provisioned.

    \b
    Example:
      timestore monitoring render /etc/prometheus/timestore --runbook https://wiki.example/timestore
    """
    with open_store() as store:
        watch = watch_of(store, RuleDurations(hurry))
    contents = {f"timestore-{watch.shard}.rules.yml": rule_file(watch, runbook)}
    if not no_dashboard:
        contents["timestore-dashboard.json"] = dashboard_json(watch.durations, runbook)
    written = [str(path) for path in write_files(folder, contents)]
    if as_json:
        print_json({"shard": watch.shard, "files": written})
    else:
        for path in written:
            print_line(path)


def watch_of(store: Timestore, durations: RuleDurations) -> Watch:
    """The shard with the alert levels that its datasets' metadata name."""
    records = store.area.ledger.datasets.all()
    overrides = {record.name: record.metadata.staging.alerts for record in records}
    return Watch(store.area.shard, overrides, durations, store.settings.metrics_push_interval.total_seconds())


@app.callback()
def group() -> None:
    """Alert rules and dashboards."""  # a group of its own, also while it has one command


app.command("render")(reporting(render))

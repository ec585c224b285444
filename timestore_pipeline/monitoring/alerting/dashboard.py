"""Entry point of the dashboard. Its library is an optional extra: hosts that only stage and flush do not need it."""

from __future__ import annotations

from timestore_pipeline.errors import MissingExtra
from timestore_pipeline.monitoring.alerting.durations import Durations
from timestore_pipeline.monitoring.alerting.rules import RUNBOOK


def dashboard_json(durations: Durations, runbook: str = RUNBOOK) -> str:
    """A dashboard to import or provision, its panels with links to the runbook.

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

"""`timestore metrics`: prints the metrics as a scrape would return them."""

from __future__ import annotations

from timestore_pipeline.cli.session import open_store
from timestore_pipeline.monitoring.telemetry.metrics import exposition


def metrics() -> None:
    """Print the Prometheus exposition.

    \b
    Example:
      timestore metrics > /var/lib/prometheus/node-exporter/timestore.prom
    """
    with open_store() as store:
        print(exposition(store.area, store.settings), end="")

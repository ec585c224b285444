"""The series of a staging directory as Prometheus' own client collects them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from timestore_pipeline.monitoring.telemetry.metrics import StagingCollector
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea


def registry(area: StagingArea, settings: Settings) -> CollectorRegistry:
    """A registry with this directory's series and none about the process."""
    found = CollectorRegistry()
    found.register(StagingCollector(area, settings))
    return found

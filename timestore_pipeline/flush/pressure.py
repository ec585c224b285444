"""What the whole staging directory suffers from, so that every backlog is due."""

from __future__ import annotations

from timestore_pipeline.model.thresholds import Guardrails
from timestore_pipeline.staging.area import StagingArea


def pressure_on(area: StagingArea, guardrails: Guardrails) -> str:
    """A sentence for an operator; empty = none."""
    if guardrails.total_bytes and area.total_bytes() >= guardrails.total_bytes:
        return "the staging directory is over its total guardrail"
    if area.directory.volume().lacks(guardrails.free_bytes) > 0:
        return "the staging directory's disk has less free than TIMESTORE_STAGING_MIN_FREE_BYTES"
    return ""

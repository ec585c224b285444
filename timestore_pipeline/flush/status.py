"""A dataset as an operator sees it."""

from __future__ import annotations

from dataclasses import dataclass

from timestore_pipeline.flush.decide import FlushDecision
from timestore_pipeline.model.backlog import Backlog
from timestore_pipeline.model.thresholds import FlushSettings, FlushThresholds


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """Its backlog, the settings in force, and the decision that follows."""

    backlog: Backlog
    settings: FlushSettings
    decision: FlushDecision

    @property
    def thresholds(self) -> FlushThresholds:
        return self.settings.thresholds

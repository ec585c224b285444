"""A dataset's metadata as an operator or a producer says them, checked against the limits in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timestore_pipeline.errors import InvalidMetadata
from timestore_pipeline.model.dataset import BACKLOG_PAGE, BACKLOG_WARN, DatasetMetadata
from timestore_pipeline.model.thresholds import ladder_problems
from timestore_pipeline.settings import Settings


def checked_metadata(settings: Settings, dataset: str, document: str | Mapping[str, Any]) -> DatasetMetadata:
    """Raises `InvalidMetadata`, also for limits that contradict each other."""
    metadata = DatasetMetadata.parse(document)
    if metadata.staging.alerts.contradict:
        raise InvalidMetadata(
            f"staging.alerts of dataset {dataset!r}: backlogWarn lies above backlogPage",
            dataset=dataset,
            hint=f"set both; unset they are {BACKLOG_WARN} and {BACKLOG_PAGE} batches",
        )
    thresholds = settings.thresholds.overridden(metadata.staging.flush)
    if problems := list(ladder_problems(thresholds, settings.guardrails)):
        raise InvalidMetadata(
            f"staging.flush.maxBytes of dataset {dataset!r}: {'; '.join(problems)}",
            dataset=dataset,
            hint="choose a flush threshold below the guardrail",
        )
    return metadata

"""A dataset as an operator sees it: its backlog, what settings and metadata say about its flushes, the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from timestore_pipeline.errors import InvalidFlushSettings
from timestore_pipeline.flush.decide import FlushDecision
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.model.flush import Backlog
from timestore_pipeline.model.metadata_sections import check_level
from timestore_pipeline.model.thresholds import FlushSettings, FlushThresholds, Guardrails
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.datasets import Datasets


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """Its backlog, the settings in force, and the decision that follows."""

    backlog: Backlog
    settings: FlushSettings
    decision: FlushDecision

    @property
    def thresholds(self) -> FlushThresholds:
        return self.settings.thresholds


def pressure_on(area: StagingArea, guardrails: Guardrails) -> str:
    """A sentence for an operator; empty = none."""
    if guardrails.total_bytes and area.total_bytes() >= guardrails.total_bytes:
        return "the staging directory is over its total guardrail"
    if area.directory.volume().lacks(guardrails.free_bytes) > 0:
        return "the staging directory's disk has less free than TIMESTORE_STAGING_MIN_FREE_BYTES"
    return ""


def settings_in_force(
    datasets: Datasets, defaults: FlushSettings, metadata: Mapping[str, DatasetMetadata]
) -> dict[str, FlushSettings]:
    """By dataset. Sort columns that a dataset does not have yet are left out: they order nothing.

    One query of the ledger, and none where no dataset names sort columns: the sensor asks for a thousand at a tick.
    """
    found = {name: defaults.overridden(one.staging.flush) for name, one in metadata.items()}
    sorted_ones = [name for name, settings in found.items() if settings.sort_by]
    columns = datasets.columns(sorted_ones) if sorted_ones else {}
    return found | {name: found[name].among(columns.get(name, [])) for name in sorted_ones}


def check_settings(dataset: str, settings: FlushSettings, columns: Sequence[str]) -> None:
    """Raise `InvalidFlushSettings` for what a launch has put together and no flush can do.

    columns: those of the dataset; none = it has no batch yet, and nothing to sort.
    """
    try:
        check_level(settings.parquet.compression, settings.parquet.compression_level)
    except ValueError as error:
        raise InvalidFlushSettings(str(error), dataset=dataset, hint="give both in the same overrides") from None
    unknown = [name for name in settings.sort_by if columns and name not in columns]
    if unknown:
        raise InvalidFlushSettings(
            f"sort_by names {unknown[0]!r}, which dataset {dataset!r} does not have",
            dataset=dataset,
            hint=f"its columns are: {', '.join(columns)}",
        )

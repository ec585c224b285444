"""The configuration of a run of `partition_build`, in the same form from the launchpad and from the sensor.

The values of a flush are taken from its `overrides`, then from the run's `defaults`, then from the dataset's metadata
and the settings as they are when the run claims. The sensor writes everything that was in force at its tick: all values
that no dataset changes once, as `defaults`, and beside each dataset the values that differ.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, Self

import dagster as dg
from pydantic import Field, ValidationError, field_validator, model_validator

from timestore_pipeline.defs.dispatch import Launch
from timestore_pipeline.model.metadata_sections import Compression, FlushOverrides
from timestore_pipeline.model.thresholds import FlushSettings

# Literals, not enumerations: Dagster takes an enumeration's names (ROWS), operators and tags speak its values (rows).
TriggerName = Literal["rows", "bytes", "age", "guardrail", "manual"]

CompressionName = Literal["as_configured", Compression]  # Dagster has no optional enumeration


class OverridesConfig(dg.Config):
    """How files are written and when a backlog counts as due; what is left out stays as configured."""

    max_rows: int | None = Field(default=None, description="Threshold that was in force; 0 = off.")
    max_bytes: int | None = Field(
        default=None,
        description="Threshold that was in force; one flush takes up to half as much again. 0 = off.",
    )
    max_age_ms: int | None = Field(default=None, description="Threshold that was in force; 0 = off.")
    compression: CompressionName = Field(default="as_configured", description="Parquet compression codec.")
    compression_level: int | None = Field(default=None, description="Of zstd, 1 to 22; 0 = the codec's own default.")
    row_group_size: int | None = Field(
        default=None, description="Rows in a row group, the grain in which readers skip; 2048 or more."
    )
    sort_by: list[str] | None = Field(
        default=None, description="Columns that order the rows of a file, before time; [] = by time alone."
    )

    @model_validator(mode="after")
    def _is_valid(self) -> Self:
        """The limits are those of the metadata."""
        try:
            self.overrides()
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}"
                for problem in error.errors()
            ]
            raise ValueError("; ".join(problems)) from None
        return self

    def overrides(self) -> FlushOverrides:
        given: dict[str, Any] = self.model_dump()
        return FlushOverrides(**{name: value for name, value in given.items() if value not in (None, "as_configured")})


class FlushRequest(dg.Config):
    """One dataset to flush."""

    dataset: str = Field(description="Name as `timestore status` shows it.")
    trigger: TriggerName = Field(default="manual", description="What asks for it; goes into history and metrics.")
    overrides: OverridesConfig = Field(default=OverridesConfig(), description="Values for this dataset.")


class ClaimConfig(dg.Config):
    """The datasets of one run. They succeed and fail independently of each other."""

    flushes: list[FlushRequest] = Field(description="Datasets to flush, in this order.")
    defaults: OverridesConfig = Field(
        default=OverridesConfig(), description="Values for every dataset whose overrides do not name them."
    )

    @field_validator("flushes")
    @classmethod
    def _each_dataset_once(cls, flushes: list[FlushRequest]) -> list[FlushRequest]:
        twice = [name for name, times in Counter(flush.dataset for flush in flushes).items() if times > 1]
        if twice:
            raise ValueError(f"named more than once: {', '.join(twice)}; ask for each dataset once")
        if not flushes:
            raise ValueError("no dataset is named; add one, for example {dataset: weather}")
        return flushes

    def settings_of(self, flush: FlushRequest, configured: FlushSettings) -> FlushSettings:
        """What is in force for a dataset in this run. configured: what metadata and settings say."""
        return configured.overridden(self.defaults.overrides()).overridden(flush.overrides.overrides())


def run_config(launch: Launch, in_force: Mapping[str, FlushSettings], defaults: FlushSettings) -> dict[str, Any]:
    """The configuration of a run that the sensor launches. in_force: by dataset. defaults: where nothing is set."""
    flushes = [
        {"dataset": dataset, "trigger": trigger.value}
        | ({"overrides": changes} if (changes := in_force[dataset].changes_from(defaults)) else {})
        for dataset, trigger in launch.flushes
    ]
    return {"ops": {"claim_backlogs": {"config": {"flushes": flushes, "defaults": defaults.to_dict()}}}}

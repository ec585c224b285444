"""Everything that can be set about one dataset's flush: when it is due, how its files are written and sorted.

The sensor puts these values into a run's configuration, the ops use them, and the commit records them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any

from timestore_pipeline.model.limits import FlushThresholds
from timestore_pipeline.model.metadata_sections import FlushOverrides


@dataclass(frozen=True, slots=True)
class ParquetOptions:
    compression: str = "zstd"
    compression_level: int = 0  # of zstd; 0 = the codec's own default
    row_group_size: int = 122_880  # rows; DuckDB's own unit, the grain of pruning inside a file

    def overridden(self, overrides: FlushOverrides) -> ParquetOptions:
        """These options with the given values in place. Another codec begins without a level."""
        compression = overrides.compression or self.compression
        kept = self.compression_level if compression == self.compression else 0
        level = kept if overrides.compression_level is None else overrides.compression_level
        return ParquetOptions(compression, level, overrides.row_group_size or self.row_group_size)


@dataclass(frozen=True, slots=True)
class FlushSettings:
    """The values in force, defaults included."""

    thresholds: FlushThresholds
    parquet: ParquetOptions = field(default_factory=ParquetOptions)
    sort_by: tuple[str, ...] = ()  # columns before time; empty = by time alone

    def overridden(self, overrides: FlushOverrides) -> FlushSettings:
        """These settings with the given values in place."""
        return FlushSettings(
            self.thresholds.overridden(overrides),
            self.parquet.overridden(overrides),
            self.sort_by if overrides.sort_by is None else overrides.sort_by,
        )

    def among(self, columns: list[str]) -> FlushSettings:
        """Without sort columns that the dataset does not have: a column that is still to come orders nothing yet."""
        return replace(self, sort_by=tuple(name for name in self.sort_by if name in columns))

    def to_dict(self) -> dict[str, Any]:
        """JSON types; the keys are the field names of `FlushOverrides`."""
        return {**self.thresholds.to_dict(), **asdict(self.parquet), "sort_by": list(self.sort_by)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> FlushSettings:
        """The inverse of `to_dict`, with every key."""
        nothing = cls(FlushThresholds(0, 0, timedelta(0)))
        return nothing.overridden(FlushOverrides.model_validate(document))

    def changes_from(self, base: FlushSettings) -> dict[str, Any]:
        """The values that differ; `base` overridden by them gives these settings."""
        known = base.to_dict()
        return {name: value for name, value in self.to_dict().items() if value != known[name]}

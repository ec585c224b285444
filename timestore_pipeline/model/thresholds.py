"""Flush thresholds and disk guardrails, the ladder that keeps them from contradicting each other, and flush settings.

flush threshold < dataset guardrail <= total guardrail. With a flush threshold at or above the guardrail the queue
would, in hard mode, reject batches before it ever flushes: the system that this one replaces could deadlock that way.

The sensor puts a dataset's flush settings into a run's configuration, the ops use them, and the commit records them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from timestore_pipeline.model.metadata_sections import FlushOverrides

LONGEST_BACKOFF = timedelta(minutes=5)  # between automatic flushes of a dataset that keeps failing

LONGEST_BLOCK = timedelta(hours=1)  # until a blocked dataset is flushed again without a new configuration

LATE_FLOOR = timedelta(minutes=2)  # a batch may always wait so long
LATE_FACTOR = 1.5  # of the dataset's max age, when that is longer
LATE_MARGIN = timedelta(seconds=30)  # for the sensor's tick, Dagster's queue and the flush itself
SENSOR_LATE = timedelta(minutes=1)  # without a tick of the flush sensor, which has one every five to ten seconds
LATE_RULE = (
    f"{LATE_FLOOR.total_seconds():.0f} s, or {LATE_FACTOR} times the dataset's max age and"
    f" {LATE_MARGIN.total_seconds():.0f} s if that is longer"
)


@dataclass(frozen=True, slots=True)
class FlushThresholds:
    """When a dataset's backlog is due; reaching any one is enough. All three off = any staged batch is due."""

    max_rows: int  # rows pending; 0 = off
    max_bytes: int  # Arrow bytes pending, not file size; 0 = off
    max_age: timedelta  # age of the oldest pending batch; zero = off

    def overridden(self, overrides: FlushOverrides) -> FlushThresholds:
        """These thresholds with a dataset's own values in place of the defaults."""
        age = self.max_age if overrides.max_age_ms is None else timedelta(milliseconds=overrides.max_age_ms)
        rows = self.max_rows if overrides.max_rows is None else overrides.max_rows
        size = self.max_bytes if overrides.max_bytes is None else overrides.max_bytes
        return FlushThresholds(max_rows=rows, max_bytes=size, max_age=age)

    def to_dict(self) -> dict[str, int]:
        """In the names and units of `FlushOverrides`."""
        age = round(self.max_age.total_seconds() * 1000)
        return {"max_rows": self.max_rows, "max_bytes": self.max_bytes, "max_age_ms": age}

    @property
    def all_off(self) -> bool:
        return not (self.max_rows or self.max_bytes or self.max_age)

    @property
    def late_after(self) -> timedelta | None:
        """The age beyond which a batch is late: for the pager, the doctor and Dagster's check alike.

        None = it is never late, because age is off and another threshold is on.
        """
        if not self.max_age and not self.all_off:
            return None
        return max(LATE_FLOOR, LATE_FACTOR * self.max_age + LATE_MARGIN)


class GuardrailMode(StrEnum):
    """`soft` warns, counts and forces a flush; `hard` also rejects."""

    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class Guardrails:
    """Bytes on disk that staged data may occupy, and that must stay free; 0 = off."""

    dataset_bytes: int
    total_bytes: int
    mode: GuardrailMode
    free_bytes: int = 0  # left for flushes, in both modes


def ladder_problems(thresholds: FlushThresholds, guardrails: Guardrails) -> Iterator[str]:
    """Each contradiction between the limits, named by the settings' variables; none when they form a ladder."""
    flush, dataset, total = thresholds.max_bytes, guardrails.dataset_bytes, guardrails.total_bytes
    if flush and dataset and flush >= dataset:
        yield _contradiction("TIMESTORE_STAGING_FLUSH_MAX_BYTES", flush, "TIMESTORE_STAGING_MAX_DATASET_BYTES", dataset)
    if dataset and total and dataset > total:
        yield _contradiction("TIMESTORE_STAGING_MAX_DATASET_BYTES", dataset, "TIMESTORE_STAGING_MAX_TOTAL_BYTES", total)
    if flush and total and not dataset and flush >= total:
        yield _contradiction("TIMESTORE_STAGING_FLUSH_MAX_BYTES", flush, "TIMESTORE_STAGING_MAX_TOTAL_BYTES", total)


def _contradiction(lower: str, low: int, upper: str, high: int) -> str:
    return f"{lower}={low} does not fit below {upper}={high}"


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

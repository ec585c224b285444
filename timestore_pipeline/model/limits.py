"""Flush thresholds and disk guardrails, and the ladder that keeps them from contradicting each other.

flush threshold < dataset guardrail <= total guardrail. With a flush threshold at or above the guardrail the queue
would, in hard mode, reject batches before it ever flushes: the system that this one replaces could deadlock that way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

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

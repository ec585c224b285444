"""The values of a flush: overridden, compared, written and read."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from timestore_pipeline.model.metadata_sections import FlushOverrides
from timestore_pipeline.model.thresholds import FlushSettings, FlushThresholds, ParquetOptions

PLAIN = FlushSettings(FlushThresholds(1_000, 2_000, timedelta(seconds=60)))
VARIED = [
    PLAIN,
    FlushSettings(FlushThresholds(0, 0, timedelta(milliseconds=1)), ParquetOptions("zstd", 19), ("station", "at")),
    FlushSettings(FlushThresholds(1_000, 5, timedelta(0)), ParquetOptions("snappy", 0, 2_048), ("at",)),
    FlushSettings(FlushThresholds(1_000, 2_000, timedelta(seconds=60)), ParquetOptions("gzip")),
]


@pytest.mark.parametrize("settings", VARIED)
def test_a_document_gives_the_same_settings(settings: FlushSettings) -> None:
    assert FlushSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(("base", "settings"), list(product(VARIED, VARIED)))
def test_the_changes_turn_the_base_into_the_settings(base: FlushSettings, settings: FlushSettings) -> None:
    changes = settings.changes_from(base)
    assert base.overridden(FlushOverrides.model_validate(changes)) == settings
    assert bool(changes) == (base != settings)


def test_a_level_belongs_to_its_codec() -> None:
    nineteen = PLAIN.overridden(FlushOverrides(compression_level=19))
    assert nineteen.overridden(FlushOverrides(row_group_size=4_096)).parquet == ParquetOptions("zstd", 19, 4_096)
    assert nineteen.overridden(FlushOverrides(compression="gzip")).parquet == ParquetOptions("gzip", 0)


def test_sort_columns_that_are_not_there_are_left_out() -> None:
    wanted = PLAIN.overridden(FlushOverrides(sort_by=("station", "at")))
    assert wanted.among(["at", "n"]).sort_by == ("at",)

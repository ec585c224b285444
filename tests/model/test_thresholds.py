"""Thresholds, overrides and the ladder."""

from __future__ import annotations

from datetime import timedelta

import pytest

from timestore_pipeline.model.metadata_sections import FlushOverrides
from timestore_pipeline.model.thresholds import FlushThresholds, GuardrailMode, Guardrails, ladder_problems

DEFAULTS = FlushThresholds(1000, 2000, timedelta(seconds=60))


def test_no_override_leaves_the_defaults() -> None:
    assert DEFAULTS.overridden(FlushOverrides()) == DEFAULTS


def test_each_override_replaces_its_own_default_only() -> None:
    assert DEFAULTS.overridden(FlushOverrides(max_rows=5)) == FlushThresholds(5, 2000, timedelta(seconds=60))
    assert DEFAULTS.overridden(FlushOverrides(max_bytes=5)) == FlushThresholds(1000, 5, timedelta(seconds=60))
    assert DEFAULTS.overridden(FlushOverrides(max_age_ms=1500)).max_age == timedelta(seconds=1.5)


def test_an_override_of_zero_switches_off() -> None:
    off = DEFAULTS.overridden(FlushOverrides(max_rows=0, max_bytes=0, max_age_ms=0))
    assert off.all_off
    assert not DEFAULTS.all_off


def _problems(flush: int, dataset: int, total: int) -> list[str]:
    thresholds = FlushThresholds(0, flush, timedelta(0))
    return list(ladder_problems(thresholds, Guardrails(dataset, total, GuardrailMode.HARD)))


@pytest.mark.parametrize(
    ("flush", "dataset", "total"), [(1, 2, 3), (1, 2, 2), (1, 2, 0), (1, 0, 2), (0, 2, 2), (5, 0, 0), (0, 0, 0)]
)
def test_limits_that_form_a_ladder_are_fine(flush: int, dataset: int, total: int) -> None:
    assert _problems(flush, dataset, total) == []


@pytest.mark.parametrize(
    ("flush", "dataset", "total", "found"),
    [(2, 2, 0, 1), (3, 2, 0, 1), (1, 3, 2, 1), (2, 0, 2, 1), (5, 4, 3, 2)],
)
def test_each_contradiction_is_found(flush: int, dataset: int, total: int, found: int) -> None:
    assert len(_problems(flush, dataset, total)) == found

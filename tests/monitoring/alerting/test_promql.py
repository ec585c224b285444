"""Durations as Prometheus reads them."""

from __future__ import annotations

import pytest

from timestore_pipeline.monitoring.alerting.promql import RuleDurations, seconds_of


@pytest.mark.parametrize(
    ("seconds", "hurry", "written"),
    [
        (600, 1, "10m"),
        (90, 1, "90s"),
        (3_600, 1, "1h"),
        (86_400, 1, "1d"),
        (0, 1, "0s"),
        (600, 20, "30s"),
        (60, 120, "500ms"),
        (1, 3, "333ms"),
    ],
)
def test_a_span_is_said_in_its_largest_whole_unit(seconds: float, hurry: float, written: str) -> None:
    assert RuleDurations(hurry).span(seconds) == written
    assert float(seconds_of(written)) == pytest.approx(seconds / hurry, abs=0.001)


def test_a_number_of_seconds_is_written_without_an_exponent() -> None:
    assert (RuleDurations().seconds(120), RuleDurations(16).seconds(120)) == ("120", "7.5")

"""Amounts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from timestore_pipeline.cli import wording


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (134_217_728, "134.2 MB"), (5e15, "5000.0 TB"), (999_999, "1.0 MB")],
)
def test_bytes_come_in_decimal_units(amount: float, expected: str) -> None:
    assert wording.size(amount) == expected


@pytest.mark.parametrize(
    ("amount", "thing", "expected"),
    [(1, "row", "1 row"), (0, "row", "0 rows"), (1234, "batch", "1,234 batches"), (2, "process", "2 processes")],
)
def test_things_are_counted(amount: int, thing: str, expected: str) -> None:
    assert wording.count(amount, thing) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *((0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 1 s"), (3700, "1 h 1 min"), (180_000, "2 d 2 h")),
        *((59.97, "1 min 0 s"), (119.7, "2 min 0 s"), (3599.6, "1 h 0 min")),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, expected: str) -> None:
    assert wording.duration(timedelta(seconds=seconds)) == expected


def test_none_is_a_dash() -> None:
    assert (wording.duration(None), wording.instant(None)) == ("-", "-")


def test_instants_are_utc() -> None:
    assert wording.instant(datetime(2013, 1, 1, 5, tzinfo=UTC)) == "2013-01-01 05:00:00Z"

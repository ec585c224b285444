"""Instants as UTC microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

import timestore_pipeline
from timestore_pipeline.system import clock


def test_now_is_aware_and_in_utc() -> None:
    assert clock.now().tzinfo is UTC


def test_monotonic_never_goes_back() -> None:
    assert clock.monotonic() <= clock.monotonic()


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_lose_nothing_of_any_instant(instant: datetime) -> None:
    assert clock.from_micros(clock.to_micros(instant)) == instant


def test_microseconds_count_from_1970_in_utc_whatever_the_time_zone() -> None:
    east = datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=1)))
    assert clock.to_micros(east) == 3_600_000_000
    assert clock.to_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)) == -1


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.0), (1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (10_000, 60.0)])
def test_a_wait_doubles_with_each_failure(failures: int, seconds: float) -> None:
    assert clock.backoff(2.0, failures, 60.0) == seconds


def test_the_public_clock_is_the_one_that_the_product_reads() -> None:
    assert timestore_pipeline.clock is clock

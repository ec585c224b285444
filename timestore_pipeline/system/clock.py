"""The one place that reads the wall clock.

Age thresholds, `staged_at` and retention are wall-clock facts that must survive restarts, so they are kept as UTC
microseconds since the Unix epoch. Durations inside one process use `monotonic` instead, which never jumps.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that only moves forward; for deadlines and durations, never stored."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait; here so that a reader finds every wait by searching for one name."""
    time.sleep(seconds)


def backoff(first: float, failures: int, longest: float) -> float:
    """Seconds to wait after so many failures in a row: none after none, `first` after one, doubling up to `longest`."""
    return min(first * 2.0 ** min(failures - 1, 30), longest) if failures > 0 else 0.0


def to_micros(instant: datetime) -> int:
    """Microseconds since the Unix epoch, exactly (no detour through a float)."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`."""
    return _EPOCH + timedelta(0, 0, micros)  # by position: half the time, of thousands at every tick

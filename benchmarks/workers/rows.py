"""The rows that every contender writes: an instant, a text of few values, a float and an integer; 30 bytes of Arrow."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

COLUMNS = "ts TIMESTAMPTZ, sensor VARCHAR, value DOUBLE, number BIGINT"  # the same in SQL

_START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_MICROS_A_SECOND = 1_000_000


def rows(count: int) -> pa.Table:
    """One row a second, in order of time."""
    return pa.table(
        {
            "ts": pa.array([_START + second * _MICROS_A_SECOND for second in range(count)], pa.timestamp("us", "UTC")),
            "sensor": [f"sensor-{index % 7}" for index in range(count)],
            "value": [index / 3 for index in range(count)],
            "number": list(range(count)),
        }
    )


def shuffled(count: int, days: int) -> pa.Table:
    """The same columns in no order of time, evenly over so many days."""
    import numpy as np  # of the project's environment; the others write rows in order

    order = np.random.default_rng(1).permutation(count)
    instants = _START + order * (days * 86_400 * _MICROS_A_SECOND // count)
    sensors = np.array([f"sensor-{index}" for index in range(7)])
    ts = pa.array(instants, pa.timestamp("us", "UTC"))
    return pa.table({"ts": ts, "sensor": sensors[order % 7], "value": order / 3, "number": order})

"""The datasets of these tests, and rows for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

SHARD = "edge-7"

METADATA: dict[str, dict[str, Any]] = {
    "flights": {},  # the defaults: 60 s of age, 20 and 50 batches
    "planes.small": {  # slow, and deep by nature; the dot would match anything in a careless pattern
        "staging": {"flush": {"maxAgeMs": 600_000}, "alerts": {"backlogWarn": 200, "backlogPage": 500}}
    },
    "weather": {  # goes by rows alone, and nobody is told of its backlog
        "staging": {"flush": {"maxAgeMs": 0, "maxRows": 50_000}, "alerts": {"backlogWarn": 0, "backlogPage": 0}}
    },
}


def readings(rows: int) -> pa.Table:
    times = [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in range(rows)]
    return pa.table({"at": pa.array(times, pa.timestamp("us", "UTC")), "value": [float(n) for n in range(rows)]})

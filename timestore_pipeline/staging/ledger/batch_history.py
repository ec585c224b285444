"""When batches arrived, as far as the ledger still knows: published batches are forgotten after the retention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from timestore_pipeline.staging.ledger.database import Database, Row
from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class Arrival:
    """One batch, in any state."""

    at: datetime
    rows: int
    bytes: int  # Arrow bytes as handed over


# Of a run, the arrival of its first and its last batch is known, and the total size: the batches between are spread
# evenly, and get equal sizes.
_NEWEST = """
SELECT staged_at AS first_at, staged_at AS last_at, 1 AS batches, rows, bytes FROM batches
WHERE dataset_id = (SELECT dataset_id FROM datasets WHERE name = :dataset)
UNION ALL
SELECT first_staged_at, last_staged_at, last_number - first_number + 1, rows, bytes FROM published_runs
WHERE dataset_id = (SELECT dataset_id FROM datasets WHERE name = :dataset)
ORDER BY last_at DESC LIMIT :most
"""


def arrivals(database: Database, dataset: str, most: int) -> list[Arrival]:
    """The newest, oldest first."""
    rows = database.rows(_NEWEST, {"dataset": dataset, "most": most})
    found = sorted((arrival for row in rows for arrival in _spread(row)), key=lambda arrival: arrival.at)
    return found[-most:]


def _spread(row: Row) -> Iterator[Arrival]:
    batches, first = row["batches"], row["first_at"]
    apart = (row["last_at"] - first) / max(batches - 1, 1)
    for number in range(batches):
        rows, size = (
            row[sum_of] * (number + 1) // batches - row[sum_of] * number // batches for sum_of in ("rows", "bytes")
        )
        yield Arrival(clock.from_micros(first + round(number * apart)), rows, size)

"""When batches arrived, as far as the ledger still knows: published ones are forgotten after the retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class Arrival:
    """One batch, whatever became of it."""

    at: datetime
    rows: int
    bytes: int  # Arrow bytes as handed over


def arrivals(database: Database, dataset: str, most: int) -> list[Arrival]:
    """The newest, oldest first."""
    rows = database.rows(
        "SELECT staged_at, rows, bytes FROM batches"
        " WHERE dataset_id = (SELECT dataset_id FROM datasets WHERE name = ?) ORDER BY staged_at DESC LIMIT ?",
        (dataset, most),
    )
    return [Arrival(clock.from_micros(row["staged_at"]), row["rows"], row["bytes"]) for row in reversed(rows)]

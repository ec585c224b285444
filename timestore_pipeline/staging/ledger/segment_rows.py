"""Segment files in the ledger: which are being built, which hold what is owed, which are drained.

A row is written before the file exists and removed after the file is gone, so a crash on either side leaves a row that
says what to look for, never a file that is not in the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from timestore_pipeline.staging.ledger.database import Database, instant_or_none
from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    segment_id: str
    dataset: str
    owner: str
    sealed: bool


_SELECT = "SELECT segment_id, name, owner, segments.state FROM segments JOIN datasets USING (dataset_id)"

_DRAINED = (
    "segments.state = 'sealed' AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.segment_id = segments.segment_id"
    " AND batches.state IN ('pending', 'in_flight', 'quarantined'))"
)


class Segments:
    """The `segments` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, segment_id: str, dataset_id: int, owner: str) -> None:
        """Of a file that this process is about to make."""
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT INTO segments (segment_id, dataset_id, owner, state, created_at)"
                " VALUES (?, ?, ?, 'building', ?)",
                (segment_id, dataset_id, owner, clock.to_micros(clock.now())),
            )

    def building(self, dataset: str) -> list[SegmentRecord]:
        """Those that are not whole yet; if their owner is dead, they never will be."""
        return self._select("WHERE name = ? AND segments.state = 'building'", dataset)

    def of_dataset(self, dataset: str) -> list[SegmentRecord]:
        return self._select("WHERE name = ?", dataset)

    def oldest(self, dataset: str) -> datetime | None:
        """When the oldest of the dataset's segments was begun, quarantined ones included; None = there is none."""
        row = self._database.row(
            "SELECT min(segments.created_at) AS oldest FROM segments JOIN datasets USING (dataset_id) WHERE name = ?",
            (dataset,),
        )
        return None if row is None else instant_or_none(row["oldest"])

    def get(self, segment_id: str) -> SegmentRecord | None:
        found = self._select("WHERE segment_id = ?", segment_id)
        return found[0] if found else None

    def drained(self, dataset: str) -> list[SegmentRecord]:
        """Sealed segments that hold no batch which could still be needed."""
        return self._select(f"WHERE name = ? AND {_DRAINED}", dataset)

    def datasets_with_drained(self) -> list[str]:
        """Names of the datasets that have a drained segment."""
        rows = self._database.rows(
            f"SELECT DISTINCT name FROM segments JOIN datasets USING (dataset_id) WHERE {_DRAINED} ORDER BY name"
        )
        return [row["name"] for row in rows]

    def forget(self, segment_ids: Sequence[str]) -> None:
        """Remove the rows, after the files."""
        with self._database.transaction() as tx:
            tx.executemany("DELETE FROM segments WHERE segment_id = ?", ((segment_id,) for segment_id in segment_ids))

    def _select(self, condition: str, value: str) -> list[SegmentRecord]:
        rows = self._database.rows(f"{_SELECT} {condition} ORDER BY segment_id", (value,))
        return [SegmentRecord(row["segment_id"], row["name"], row["owner"], row["state"] == "sealed") for row in rows]


def sealed_batches_of(tx: sqlite3.Connection, dataset_id: int, epoch: int) -> dict[str, list[int]]:
    """Segment id -> sequences of the batches an epoch holds, both in order."""
    found: dict[str, list[int]] = {}
    rows = tx.execute(
        "SELECT segment_id, sequence FROM batches WHERE dataset_id = ? AND epoch = ? ORDER BY segment_id, sequence",
        (dataset_id, epoch),
    )
    for row in rows:
        found.setdefault(row["segment_id"], []).append(row["sequence"])
    return found

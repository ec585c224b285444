"""Old flushes in the ledger: a row for each stretch of epochs, with the totals of its published flushes.

So the ledger of a dataset that is flushed every minute stays small, and `timestore verify` still compares the rows that
were published with those in the table's files, a stretch at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.staging.ledger.database import Database, Row
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.system import clock

MOST_EPOCHS = 1_000  # of a stretch
MOST_FOLDED = 200  # flushes in one transaction

_OLDEST = """
SELECT epoch, state, batches, rows, bytes, finished_at FROM flushes
WHERE dataset_id = :id AND epoch < (SELECT max(epoch) FROM flushes WHERE dataset_id = :id)
ORDER BY epoch LIMIT :most
"""
_NEWEST_STRETCH = """
SELECT first_epoch, last_epoch FROM flush_stretches WHERE dataset_id = ? ORDER BY first_epoch DESC LIMIT 1
"""
_ADD = """
INSERT INTO flush_stretches (dataset_id, first_epoch, last_epoch, batches, rows, bytes, first_partition, last_partition)
SELECT :id, :first, :last, :batches, :rows, :bytes, min(partition_value), max(partition_value) FROM files
WHERE dataset_id = :id AND epoch <= :last
ON CONFLICT (dataset_id, first_epoch) DO UPDATE SET last_epoch = excluded.last_epoch,
    batches = batches + excluded.batches, rows = rows + excluded.rows, bytes = bytes + excluded.bytes,
    first_partition = min(coalesce(first_partition, excluded.first_partition),
        coalesce(excluded.first_partition, first_partition)),
    last_partition = max(coalesce(last_partition, excluded.last_partition),
        coalesce(excluded.last_partition, last_partition))
"""
_FILES = "SELECT file_id FROM files WHERE dataset_id = :id AND epoch <= :last"
_FORGET = (
    f"DELETE FROM batch_files WHERE file_id IN ({_FILES})",
    f"DELETE FROM run_files WHERE file_id IN ({_FILES})",
    "DELETE FROM files WHERE dataset_id = :id AND epoch <= :last",
    "DELETE FROM flushes WHERE dataset_id = :id AND epoch <= :last",
)


@dataclass(frozen=True, slots=True)
class FlushStretch:
    """Flushes that have ended; `volume`: what the published ones of them claimed."""

    first_epoch: int
    last_epoch: int
    volume: Volume

    def __contains__(self, epoch: int) -> bool:
        return self.first_epoch <= epoch <= self.last_epoch


class FlushStretches:
    """The table `flush_stretches`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fold(self, dataset: str, before: datetime) -> int:
        """Fold flushes that ended before an instant, with their files; returns how many that were.

        Never the newest flush, nor any that follows one that is too young. A stretch has no holes: an epoch that this
        ledger never had may be another ledger's. In short transactions; a process that dies in between leaves the rest
        to the next fold.
        """
        total = 0
        while folded := self._fold_some(dataset, clock.to_micros(before)):
            total += folded
        return total

    def _fold_some(self, dataset: str, before: int) -> int:
        with self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, dataset)
            oldest = tx.execute(_OLDEST, {"id": dataset_id, "most": MOST_FOLDED})
            ended = list(takewhile(lambda row: (row["finished_at"] or before) < before, oldest))
            rows = [
                row for number, row in enumerate(ended, ended[0]["epoch"] if ended else 0) if row["epoch"] == number
            ]
            if rows:
                _fold(tx, dataset_id, rows)
            return len(rows)


def stretches_of(tx: sqlite3.Connection, dataset_id: int) -> list[FlushStretch]:
    """The dataset's stretches, oldest first."""
    rows = tx.execute("SELECT * FROM flush_stretches WHERE dataset_id = ? ORDER BY first_epoch", (dataset_id,))
    return [
        FlushStretch(row["first_epoch"], row["last_epoch"], Volume(row["batches"], row["rows"], row["bytes"]))
        for row in rows
    ]


def is_folded(tx: sqlite3.Connection, dataset_id: int, epoch: int) -> bool:
    """Whether the flush of this epoch is in a stretch."""
    found = tx.execute(
        "SELECT 1 FROM flush_stretches WHERE dataset_id = ? AND ? BETWEEN first_epoch AND last_epoch",
        (dataset_id, epoch),
    )
    return found.fetchone() is not None


def _fold(tx: sqlite3.Connection, dataset_id: int, rows: Sequence[Row]) -> None:
    published = [row for row in rows if row["state"] == FlushState.PUBLISHED]
    totals = {column: sum(row[column] for row in published) for column in ("batches", "rows", "bytes")}
    last = rows[-1]["epoch"]
    first = _first_epoch(tx, dataset_id, rows[0]["epoch"], last)
    tx.execute(_ADD, {"id": dataset_id, "first": first, "last": last, **totals})
    for statement in _FORGET:
        tx.execute(statement, {"id": dataset_id, "last": last})


def _first_epoch(tx: sqlite3.Connection, dataset_id: int, first: int, last: int) -> int:
    """Of the stretch that these epochs belong to: the newest one, as long as it has room for them."""
    newest = tx.execute(_NEWEST_STRETCH, (dataset_id,)).fetchone()
    if newest is None or newest["last_epoch"] + 1 != first or last - newest["first_epoch"] >= MOST_EPOCHS:
        return first
    return int(newest["first_epoch"])

"""What one claim takes: the dataset's next epoch, and pending batches where they lie, in journals or segments."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

from timestore_pipeline.errors import FlushInFlight
from timestore_pipeline.model.batch import BatchState, Volume
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.staging.ledger import volumes
from timestore_pipeline.staging.ledger.database import Row
from timestore_pipeline.system import clock

# Of one claim. An export has all its segments open at once, of the 1024 files a process usually may; and the claim, its
# export and its end each hold the ledger's write lock for up to ten microseconds a batch.
MOST_FILES = 250
MOST_BATCHES = 100_000


def take(
    tx: sqlite3.Connection,
    dataset_id: int,
    dataset: str,
    trigger: Trigger,
    run_id: str,
    owner: str,
    most_bytes: int | None,
    without: Collection[str],
) -> int | None:
    """The epoch of a new claim; None when there is nothing to take.

    most_bytes: None = any. without: ids of journals that cannot be read. Raises `FlushInFlight`.
    """
    refuse_second(tx, dataset_id, dataset)
    row = tx.execute("SELECT last_epoch FROM datasets WHERE dataset_id = ?", (dataset_id,)).fetchone()
    epoch = int(row["last_epoch"]) + 1
    held = _hold(tx, dataset_id, epoch, most_bytes, without)
    if held is None:
        return None
    tx.execute("UPDATE datasets SET last_epoch = ? WHERE dataset_id = ?", (epoch, dataset_id))
    _insert_flush(tx, dataset_id, epoch, trigger, run_id, owner, held)
    return epoch


# Left to itself SQLite takes the primary key, and reads a year of flushes while producers wait.
_IN_FLIGHT = (
    "SELECT epoch, run_id FROM flushes INDEXED BY flushes_by_state"
    " WHERE dataset_id = ? AND state IN ('claimed', 'exported')"
)


def refuse_second(tx: sqlite3.Connection, dataset_id: int, dataset: str) -> None:
    """Raise `FlushInFlight` when the dataset has a claim."""
    row = tx.execute(_IN_FLIGHT, (dataset_id,)).fetchone()
    if row is not None:
        raise FlushInFlight(
            f"flush {row['epoch']} of dataset {dataset!r} is in flight (run {row['run_id']})",
            dataset=dataset,
            hint="wait for it; if its process is gone, `timestore recover` settles it",
        )


# Oldest first, from the files in which the oldest lie. The batch that reaches `bytes` is the last one: however large,
# the first is always taken.
_TAKEN = """
WITH oldest AS (
    SELECT batch_id, segment_id, sequence, bytes, staged_at FROM batches
    WHERE dataset_id = :id AND state = 'pending' AND segment_id NOT IN (SELECT value FROM json_each(:without))
        AND (record_offset IS NOT NULL
            OR segment_id IN (SELECT segment_id FROM segments WHERE dataset_id = :id AND state = 'sealed'))
    ORDER BY staged_at, segment_id, sequence LIMIT :batches
), held_in AS (
    SELECT segment_id FROM oldest GROUP BY segment_id ORDER BY min(staged_at), segment_id LIMIT :files
)
SELECT batch_id FROM (
    SELECT batch_id, sum(bytes) OVER (ORDER BY staged_at, segment_id, sequence) - bytes AS bytes_before
    FROM oldest WHERE segment_id IN (SELECT segment_id FROM held_in)
) WHERE :bytes IS NULL OR bytes_before < :bytes
"""


def _hold(
    tx: sqlite3.Connection, dataset_id: int, epoch: int, most_bytes: int | None, without: Collection[str]
) -> Row | None:
    """Move the oldest pending batches in flight; return their totals."""
    tx.execute(
        f"UPDATE batches SET state = 'in_flight', epoch = :epoch WHERE batch_id IN ({_TAKEN})",
        {
            "epoch": epoch,
            "id": dataset_id,
            "files": MOST_FILES,
            "batches": MOST_BATCHES,
            "bytes": most_bytes,
            "without": json.dumps(list(without)),
        },
    )
    row: Row = tx.execute(
        "SELECT count(*) AS batches, sum(rows) AS rows, sum(bytes) AS bytes, min(staged_at) AS oldest"
        " FROM batches WHERE dataset_id = ? AND epoch = ?",
        (dataset_id, epoch),
    ).fetchone()
    if not row["batches"]:
        return None
    held = Volume(row["batches"], row["rows"], row["bytes"])
    volumes.move(tx, dataset_id, BatchState.PENDING, BatchState.IN_FLIGHT, held)
    return row


def _insert_flush(
    tx: sqlite3.Connection, dataset_id: int, epoch: int, trigger: Trigger, run_id: str, owner: str, held: Row
) -> None:
    tx.execute(
        "INSERT INTO flushes (dataset_id, epoch, state, trigger, run_id, owner, batches, rows, bytes,"
        " oldest_staged_at, claimed_at) VALUES (?, ?, 'claimed', ?, ?, ?, ?, ?, ?, ?, ?)",
        (dataset_id, epoch, trigger, run_id, owner, *tuple(held), clock.to_micros(clock.now())),
    )

"""The effects of failed flushes on their dataset, in columns of `datasets`: a pause, a block, smaller claims.

- `failures`, `retry_at`: automatic flushes wait, longer after each failure.
- `blocked`: no flush can succeed before something is changed. A published flush, an operator's request, new metadata
  and `recover` lift the block.
- `claim_bytes`: an export ran out of memory, so claims are smaller: half of the claim that failed, a quarter more after
  each flush that succeeds, NULL once that is as much as usual.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from datetime import datetime, timedelta

from timestore_pipeline.model.flush import FlushBlock
from timestore_pipeline.model.thresholds import LONGEST_BACKOFF
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.system import clock

_RETRY_FIRST = timedelta(seconds=2)


class FlushFailures:
    """Columns of `datasets`. `postpone`, `block` and `limit_claims` raise `UnknownDataset`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def postpone(self, dataset: str, until: datetime) -> None:
        """Count a failure and hold automatic flushes back until then."""
        self._update(dataset, "failures = failures + 1, retry_at = ?", clock.to_micros(until))

    def block(self, dataset: str, block: FlushBlock) -> None:
        self._update(dataset, "blocked = ?", json.dumps({**asdict(block), "at": clock.to_micros(block.at)}))

    def lift_all_blocks(self) -> None:
        with self._database.transaction() as tx:
            tx.execute("UPDATE datasets SET blocked = NULL WHERE blocked IS NOT NULL")

    def most_claim_bytes(self, dataset: str) -> int | None:
        """Most bytes of the dataset's next claim; None = as many as usual."""
        row = self._database.row("SELECT claim_bytes FROM datasets WHERE name = ?", (dataset,))
        return None if row is None else row["claim_bytes"]

    def limit_claims(self, dataset: str, most_bytes: int | None) -> None:
        """None = as much as usual again."""
        self._update(dataset, "claim_bytes = ?", most_bytes)

    def _update(self, dataset: str, assignment: str, value: int | str | None) -> None:
        with self._database.transaction() as tx:
            tx.execute(f"UPDATE datasets SET {assignment} WHERE dataset_id = ?", (value, dataset_id_of(tx, dataset)))


def retry_delay(failures: int) -> timedelta:
    """How long automatic flushes of a dataset wait after its n-th failure in a row: 2 s, doubling, at most 5 min."""
    first, longest = _RETRY_FIRST.total_seconds(), LONGEST_BACKOFF.total_seconds()
    return timedelta(seconds=clock.backoff(first, failures + 1, longest))


def back_off(tx: sqlite3.Connection, dataset_id: int) -> None:
    failures = tx.execute("SELECT failures FROM datasets WHERE dataset_id = ?", (dataset_id,)).fetchone()["failures"]
    tx.execute(
        "UPDATE datasets SET failures = failures + 1, retry_at = ? WHERE dataset_id = ?",
        (clock.to_micros(clock.now() + retry_delay(failures)), dataset_id),
    )


def settle(tx: sqlite3.Connection, dataset_id: int, epoch: int) -> None:
    """A flush has succeeded: failures are forgotten, and a request made before its epoch was taken is fulfilled."""
    tx.execute(
        "UPDATE datasets SET failures = 0, retry_at = NULL, blocked = NULL, claim_bytes = claim_bytes * 5 / 4 + 1,"
        " manual_requested_at = CASE WHEN coalesce(manual_requested_epoch, 0) >= :epoch THEN manual_requested_at END"
        " WHERE dataset_id = :id",
        {"id": dataset_id, "epoch": epoch},
    )


def block_of(document: str | None) -> FlushBlock | None:
    """The inverse of `block`; None for one that another release has written: its next flush finds out again."""
    if document is None:
        return None
    try:
        values = json.loads(document)
        return FlushBlock(**{**values, "at": clock.from_micros(values["at"])})
    except (ValueError, TypeError, KeyError):
        return None

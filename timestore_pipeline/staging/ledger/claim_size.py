"""Datasets whose claims take less than usual, because an export ran out of memory: bytes of the next claim, in `meta`.

Half of the claim that failed, a quarter more after each flush that succeeds; forgotten once that is as much as usual.
"""

from __future__ import annotations

import sqlite3

from timestore_pipeline.staging.ledger.database import Database

_PREFIX = "narrowed/"


class ClaimSizes:
    """Rows of the `meta` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def most_bytes(self, dataset: str) -> int | None:
        """What the dataset's next claim may take; None = as much as any."""
        row = self._database.row("SELECT value FROM meta WHERE key = ?", (_PREFIX + dataset,))
        return None if row is None else int(row["value"])

    def put(self, dataset: str, most_bytes: int) -> None:
        with self._database.transaction() as tx:
            tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_PREFIX + dataset, str(most_bytes)))

    def forget(self, dataset: str) -> None:
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM meta WHERE key = ?", (_PREFIX + dataset,))


def widen(tx: sqlite3.Connection, dataset_id: int) -> None:
    """A flush has succeeded: the next one may take more."""
    tx.execute(
        "UPDATE meta SET value = CAST(value * 5 / 4 + 1 AS TEXT)"
        " WHERE key = ? || (SELECT name FROM datasets WHERE dataset_id = ?)",
        (_PREFIX, dataset_id),
    )

"""Datasets that no flush can get anywhere with until somebody changes something: one JSON document each in `meta`.

A block is lifted by whatever may have changed it: a published flush, an operator's request, new metadata, `recover`.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict

from timestore_pipeline import clock
from timestore_pipeline.model.backlog import Block
from timestore_pipeline.staging.ledger.database import Database

_PREFIX = "blocked/"

COLUMN = f"(SELECT value FROM meta WHERE key = '{_PREFIX}' || d.name) AS blocked"  # of a query over `datasets d`


class Blocks:
    """Rows of the `meta` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, dataset: str, block: Block) -> None:
        document = json.dumps({**asdict(block), "at": clock.to_micros(block.at)})
        with self._database.transaction() as tx:
            tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_PREFIX + dataset, document))

    def lift_all(self) -> None:
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM meta WHERE key >= ? AND key < ?", (_PREFIX, _PREFIX + "\uffff"))


def lift(tx: sqlite3.Connection, dataset_id: int) -> None:
    tx.execute(
        "DELETE FROM meta WHERE key = ? || (SELECT name FROM datasets WHERE dataset_id = ?)", (_PREFIX, dataset_id)
    )


def block_of(document: str | None) -> Block | None:
    """The inverse of `put`; None for what another release has written, which will find out again what blocks it."""
    if document is None:
        return None
    try:
        values = json.loads(document)
        return Block(**{**values, "at": clock.from_micros(values["at"])})
    except (ValueError, TypeError, KeyError):
        return None

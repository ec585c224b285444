"""Running totals per dataset and state. Called inside the transaction that moves the batches, never on its own."""

from __future__ import annotations

import sqlite3

from timestore_pipeline.model.batch import BatchState, Volume

ACCEPTED = "accepted"  # every batch ever acknowledged; the left side of the conservation equation


def add(tx: sqlite3.Connection, dataset_id: int, state: str, volume: Volume, sign: int = 1) -> None:
    tx.execute(
        "INSERT INTO volumes (dataset_id, state, batches, rows, bytes) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (dataset_id, state) DO UPDATE SET batches = batches + excluded.batches,"
        " rows = rows + excluded.rows, bytes = bytes + excluded.bytes",
        (dataset_id, state, sign * volume.batches, sign * volume.rows, sign * volume.bytes),
    )


def move(tx: sqlite3.Connection, dataset_id: int, source: BatchState, target: BatchState, volume: Volume) -> None:
    add(tx, dataset_id, source, volume, sign=-1)
    add(tx, dataset_id, target, volume)

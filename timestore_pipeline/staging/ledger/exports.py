"""What an export wrote, and which batches it holds: provenance in both directions, from batch to file and back.

Called inside the transactions that move a flush, never on its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from timestore_pipeline.model.lake import ExportedFile, PartitionKey
from timestore_pipeline.staging.ledger.database import Row, instant_or_none, micros_or_none


@dataclass(frozen=True, slots=True)
class BatchShare:
    """How many rows of one batch went into one file; `file` is its position in the exported list."""

    batch_id: str
    file: int
    rows: int


def record(
    tx: sqlite3.Connection, dataset_id: int, epoch: int, files: Sequence[ExportedFile], shares: Iterable[BatchShare]
) -> None:
    ids = [_insert_file(tx, dataset_id, epoch, file) for file in files]
    tx.executemany(
        "INSERT INTO batch_files (batch_id, file_id, rows) VALUES (?, ?, ?)",
        ((share.batch_id, ids[share.file], share.rows) for share in shares),
    )


def forget(tx: sqlite3.Connection, dataset_id: int, epoch: int) -> None:
    doomed = "SELECT file_id FROM files WHERE dataset_id = ? AND epoch = ?"
    for table in ("batch_files", "run_files"):
        tx.execute(f"DELETE FROM {table} WHERE file_id IN ({doomed})", (dataset_id, epoch))
    tx.execute("DELETE FROM files WHERE dataset_id = ? AND epoch = ?", (dataset_id, epoch))


def exported_file(row: Row) -> ExportedFile:
    return ExportedFile(
        path=row["path"],
        rows=row["rows"],
        bytes=row["bytes"],
        partition=PartitionKey(row["partition_column"], row["partition_value"]),
        stats=row["stats"],
        min_time=instant_or_none(row["min_time"]),
        max_time=instant_or_none(row["max_time"]),
    )


def _insert_file(tx: sqlite3.Connection, dataset_id: int, epoch: int, file: ExportedFile) -> int:
    inserted = tx.execute(
        "INSERT INTO files (dataset_id, epoch, path, rows, bytes, partition_column, partition_value, stats,"
        " min_time, max_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            dataset_id, epoch, file.path, file.rows, file.bytes, file.partition.column, file.partition.value,
            file.stats, micros_or_none(file.min_time), micros_or_none(file.max_time),
        ),
    )  # fmt: skip
    return int(inserted.lastrowid or 0)

"""Published batches in the ledger: a row for each run, and the receipts of those that had a key.

A run is consecutive batches of one stream that one flush published. Batches are folded into runs after their flush has
ended, and forgotten after the retention. A batch that was ever in quarantine keeps its own row, because its incident
shows it. Every step is a short transaction that may be repeated; the next flush completes what a dead process left.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import blake2b

from timestore_pipeline.model.batch import StagedBatch, batch_id, stream_and_number
from timestore_pipeline.staging.ledger.database import Database, Row, marks
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.system import clock

MOST_FOLDED = 1_000  # batches in one transaction: some 20 ms
MOST_PRUNED = 10_000  # rows in one transaction: a tenth of a second
_DIGEST_BYTES = 16  # of a key

_FOLDABLE = """
SELECT batch_id, epoch, published_at, rows, bytes, staged_at, idempotency_key FROM batches
WHERE dataset_id = ? AND state = 'published' AND incident_id IS NULL ORDER BY staged_at LIMIT ?
"""
_ADD_RUN = """
INSERT INTO published_runs (dataset_id, stream_id, first_number, last_number, rows, bytes, first_staged_at,
    last_staged_at, epoch, published_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_KEY = """
INSERT OR IGNORE INTO published_keys (run_id, number, dataset_id, digest, rows, bytes, staged_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_PRUNABLE_RUNS = "SELECT run_id FROM published_runs WHERE dataset_id = ? AND published_at < ? AND last_staged_at < ?"
_PRUNABLE_BATCHES = (
    "SELECT batch_id FROM batches WHERE dataset_id = ? AND state = 'published' AND staged_at < ? AND published_at < ?"
)


class Published:
    """The tables `published_runs`, `published_keys` and `run_files`, and the published rows of `batches`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fold(self, dataset: str) -> int:
        """Fold the dataset's published batches into runs; returns how many batches that were."""
        return self._in_steps(dataset, _fold, MOST_FOLDED)

    def prune(self, dataset: str, before: datetime) -> int:
        """Forget batches that were staged and published before an instant, with their keys; returns how many.

        Their volume stays counted.
        """
        instant = clock.to_micros(before)
        steps = (_forget_keys, _forget_runs, _forget_batches)
        return sum(self._in_steps(dataset, partial(step, before=instant), MOST_PRUNED) for step in steps)

    def _in_steps(self, dataset: str, step: Callable[[sqlite3.Connection, int], Sequence[int]], most: int) -> int:
        """step: returns how many batches each of its rows replaced. Producers can write between two steps."""
        total, rows = 0, most
        while rows == most:
            with self._database.transaction() as tx:
                done = step(tx, dataset_id_of(tx, dataset))
            total, rows = total + sum(done), len(done)
        return total


def is_published(tx: sqlite3.Connection, identity: str) -> bool:
    """Whether the batch of this id is in a run."""
    stream_id, number = stream_and_number(identity)
    row = tx.execute(
        "SELECT last_number FROM published_runs WHERE stream_id = ? AND first_number <= ?"
        " ORDER BY first_number DESC LIMIT 1",
        (stream_id, number),
    ).fetchone()
    return row is not None and row["last_number"] >= number


def published_under(tx: sqlite3.Connection, dataset_id: int, keys: Sequence[str]) -> dict[str, StagedBatch]:
    """Folded batches by idempotency key; `sequence` is the number in the stream. keys: few enough for a statement."""
    by_digest = {_digest(key): key for key in keys}
    rows = tx.execute(
        "SELECT digest, stream_id, number, keys.rows, keys.bytes, staged_at"
        " FROM published_keys AS keys JOIN published_runs USING (run_id)"
        f" WHERE keys.dataset_id = ? AND digest IN ({marks(by_digest)})",
        (dataset_id, *by_digest),
    )
    return {by_digest[row["digest"]]: _staged_batch(row, by_digest[row["digest"]]) for row in rows}


def _staged_batch(row: Row, key: str) -> StagedBatch:
    return StagedBatch(
        batch_id=batch_id(row["stream_id"], row["number"]),
        sequence=row["number"],
        rows=row["rows"],
        bytes=row["bytes"],
        staged_at=clock.from_micros(row["staged_at"]),
        idempotency_key=key,
    )


def _digest(key: str) -> bytes:
    """Of 10**22 ledgers with a hundred million keys each, one has two keys with the same digest."""
    return blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest()


def _fold(tx: sqlite3.Connection, dataset_id: int) -> list[int]:
    rows = tx.execute(_FOLDABLE, (dataset_id, MOST_FOLDED)).fetchall()
    ids = json.dumps([row["batch_id"] for row in rows])
    runs = {_add_run(tx, dataset_id, run): run for run in _runs(rows)}
    _move_files(tx, {batch.row["batch_id"]: run_id for run_id, run in runs.items() for batch in run}, ids)
    tx.execute("DELETE FROM batches WHERE batch_id IN (SELECT value FROM json_each(?))", (ids,))
    return [1] * len(rows)


@dataclass(frozen=True, slots=True)
class _Batch:
    """A row of `batches` that is to be folded."""

    stream_id: str
    number: int
    row: Row


def _runs(rows: Sequence[Row]) -> list[list[_Batch]]:
    batches = (_Batch(*stream_and_number(row["batch_id"]), row) for row in rows)
    runs: list[list[_Batch]] = []
    for batch in sorted(batches, key=lambda batch: (batch.stream_id, batch.number)):
        last = runs[-1][-1] if runs else None
        if last and _is_next(last, batch):
            runs[-1].append(batch)
        else:
            runs.append([batch])
    return runs


def _is_next(last: _Batch, batch: _Batch) -> bool:
    expected = last.stream_id, last.number + 1, last.row["epoch"]
    return expected == (batch.stream_id, batch.number, batch.row["epoch"])


def _add_run(tx: sqlite3.Connection, dataset_id: int, run: Sequence[_Batch]) -> int:
    first, rows = run[0], [batch.row for batch in run]
    of = {column: [row[column] for row in rows] for column in ("rows", "bytes", "staged_at", "published_at")}
    added = tx.execute(
        _ADD_RUN,
        (
            dataset_id, first.stream_id, first.number, run[-1].number, sum(of["rows"]), sum(of["bytes"]),
            min(of["staged_at"]), max(of["staged_at"]), first.row["epoch"], max(of["published_at"]),
        ),
    )  # fmt: skip
    run_id = int(added.lastrowid or 0)
    keyed = ((batch, key) for batch in run if (key := batch.row["idempotency_key"]) is not None)
    tx.executemany(
        _ADD_KEY,
        (
            (run_id, batch.number, dataset_id, _digest(key), *(batch.row[c] for c in ("rows", "bytes", "staged_at")))
            for batch, key in keyed
        ),
    )
    return run_id


def _move_files(tx: sqlite3.Connection, run_of: Mapping[str, int], ids: str) -> None:
    """Replace the files of batches by the files of their runs; ids: of the batches, as a JSON array."""
    chosen = "FROM batch_files WHERE batch_id IN (SELECT value FROM json_each(?))"
    rows_in: dict[tuple[int, int], int] = {}
    for row in tx.execute(f"SELECT batch_id, file_id, rows {chosen}", (ids,)):
        place = run_of[row["batch_id"]], row["file_id"]
        rows_in[place] = rows_in.get(place, 0) + row["rows"]
    tx.executemany(
        "INSERT INTO run_files (run_id, file_id, rows) VALUES (?, ?, ?)",
        ((*place, rows) for place, rows in rows_in.items()),
    )
    tx.execute(f"DELETE {chosen}", (ids,))


def _forget_keys(tx: sqlite3.Connection, dataset_id: int, before: int) -> list[int]:
    prunable = f"SELECT run_id, number FROM published_keys WHERE run_id IN ({_PRUNABLE_RUNS}) LIMIT {MOST_PRUNED}"
    gone = tx.execute(
        f"DELETE FROM published_keys WHERE (run_id, number) IN ({prunable})", (dataset_id, before, before)
    )
    return [0] * gone.rowcount


def _forget_runs(tx: sqlite3.Connection, dataset_id: int, before: int) -> list[int]:
    chosen = f"{_PRUNABLE_RUNS} LIMIT {MOST_PRUNED}"
    tx.execute(f"DELETE FROM run_files WHERE run_id IN ({chosen})", (dataset_id, before, before))
    gone = tx.execute(
        f"DELETE FROM published_runs WHERE run_id IN ({chosen}) RETURNING last_number - first_number + 1 AS batches",
        (dataset_id, before, before),
    )
    return [row["batches"] for row in gone.fetchall()]


def _forget_batches(tx: sqlite3.Connection, dataset_id: int, before: int) -> list[int]:
    chosen = f"{_PRUNABLE_BATCHES} LIMIT {MOST_PRUNED}"
    tx.execute(f"DELETE FROM batch_files WHERE batch_id IN ({chosen})", (dataset_id, before, before))
    gone = tx.execute(f"DELETE FROM batches WHERE batch_id IN ({chosen})", (dataset_id, before, before))
    return [1] * gone.rowcount

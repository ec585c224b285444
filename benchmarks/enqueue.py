"""What a durable write costs, as a ratio to the bare primitive, measured interleaved in one run.

The primitive is what no correct design can do without: insert and commit of the same rows into an attached DuckDB
file, plus one commit into a SQLite ledger. Run it with `make bench`; it exits 1 when a bound is missed.
"""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from timestore_pipeline import Settings, StagingManager

ROUNDS = 300
MOST_TIMES_PRIMITIVE = 1.5  # a durable enqueue of 1,000 rows against the bare primitive, medians
LEAST_SMALL_BATCHES = 5_000  # a second: 10-row batches, one producer, `submit`


def rows(count: int) -> pa.Table:
    """`count` rows of four columns: instant, key, value, number."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "ts": pa.array([start + timedelta(seconds=second) for second in range(count)], pa.timestamp("us", "UTC")),
            "sensor": [f"sensor-{index % 7}" for index in range(count)],
            "value": [index / 3 for index in range(count)],
            "number": list(range(count)),
        }
    )


class Primitive:
    """Insert and commit into an attached file, then one ledger commit."""

    def __init__(self, folder: Path) -> None:
        self._duckdb = duckdb.connect(":memory:")
        self._duckdb.execute(f"ATTACH '{folder / 'bare.duckdb'}' AS bare (BLOCK_SIZE 16384)")
        self._duckdb.execute("CREATE TABLE bare.rows (ts TIMESTAMPTZ, sensor VARCHAR, value DOUBLE, number BIGINT)")
        self._ledger = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
        self._ledger.execute("PRAGMA journal_mode = WAL")
        self._ledger.execute("PRAGMA synchronous = FULL")
        self._ledger.execute("CREATE TABLE batches (batch_id INTEGER PRIMARY KEY, rows INTEGER, bytes INTEGER)")

    def write(self, table_: pa.Table) -> None:
        self._duckdb.execute("INSERT INTO bare.rows BY NAME SELECT * FROM table_")
        self._ledger.execute("BEGIN IMMEDIATE")
        self._ledger.execute("INSERT INTO batches (rows, bytes) VALUES (?, ?)", (table_.num_rows, table_.nbytes))
        self._ledger.execute("COMMIT")


def cost_of_one_write(staging: StagingManager, primitive: Primitive) -> tuple[float, float]:
    """Median seconds of (enqueue, primitive) for 1,000 rows; taken in turns so that a slow disk slows both."""
    table = rows(1_000)
    staging.enqueue("single", table)
    primitive.write(table)
    timed = [
        (_seconds(lambda: staging.enqueue("single", table)), _seconds(lambda: primitive.write(table)))
        for _ in range(ROUNDS)
    ]
    enqueue, bare = zip(*timed, strict=True)
    return statistics.median(enqueue), statistics.median(bare)


def small_batches_per_second(staging: StagingManager, seconds: float = 5.0) -> float:
    """Durable 10-row batches a second from one producing thread."""
    table = rows(10)
    staging.enqueue("many", table)
    futures = []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        futures.append(staging.submit("many", table, max_wait=timedelta(seconds=10)))
    for future in futures:
        future.result()
    return len(futures) / (time.perf_counter() - start)


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="timestore-bench-", dir=Path.cwd()))
    try:
        with StagingManager.open(Settings.build(home=folder, staging_max_dataset_bytes=0)) as staging:
            enqueue, bare = cost_of_one_write(staging, Primitive(folder))
            rate = small_batches_per_second(staging)
    finally:
        shutil.rmtree(folder)
    ratio = enqueue / bare
    print(f"durable enqueue of 1,000 rows: {enqueue * 1e3:.2f} ms, primitive {bare * 1e3:.2f} ms, ratio {ratio:.2f}")
    print(f"submit of 10-row batches, one producer: {rate:,.0f} durable batches a second")
    return 0 if ratio <= MOST_TIMES_PRIMITIVE and rate >= LEAST_SMALL_BATCHES else 1


if __name__ == "__main__":
    sys.exit(main())

"""Delta Lake without staging: one commit and one Parquet file a batch, neither flushed to disk."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.workers.answering import answer, writing
from benchmarks.workers.rows import shuffled


def partitioned(home: Path, count: int, days: int) -> float:
    """Seconds of one commit that is partitioned by day."""
    batch = shuffled(count, days)
    batch = batch.append_column("day", batch["ts"].cast(pa.date32()))
    began = time.perf_counter()
    write_deltalake(home / "partitioned", batch, partition_by=["day"])
    return time.perf_counter() - began


def main(home: Path) -> None:
    def write(destination: str, batch: pa.Table) -> None:
        write_deltalake(home / destination, batch, mode="append")

    answer({"write": writing(write), "partitioned": lambda **request: partitioned(home, **request)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

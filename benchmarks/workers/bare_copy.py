"""The least that a sorted Parquet file costs: rows in a DuckDB table in memory, then one `COPY ... ORDER BY`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import duckdb

from benchmarks.workers.answering import answer
from benchmarks.workers.rows import shuffled


def copy(home: Path, count: int, days: int) -> float:
    """Seconds of the COPY, which flushes nothing to disk."""
    home.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.register("data", shuffled(count, days))
        connection.execute("CREATE TABLE staged AS SELECT * FROM data")
        target = f"'{home}/copy.parquet' (FORMAT parquet, COMPRESSION zstd)"
        began = time.perf_counter()
        connection.execute(f"COPY (SELECT * FROM staged ORDER BY ts) TO {target}")
        return time.perf_counter() - began


def main(home: Path) -> None:
    answer({"copy": lambda **request: copy(home, **request)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""DuckLake with rows inlined in its catalogue, a DuckDB file: the faster of the catalogues that need no server."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa

from benchmarks.workers.answering import answer, writing
from benchmarks.workers.extensions import connect
from benchmarks.workers.rows import COLUMNS

_INLINED_ROWS = 20_000  # more than any batch has, so that none becomes a Parquet file


def main(home: Path) -> None:
    home.mkdir(parents=True)
    connection = connect("ducklake")
    options = f"DATA_PATH '{home}/data', DATA_INLINING_ROW_LIMIT {_INLINED_ROWS}"
    connection.execute(f"ATTACH 'ducklake:{home}/catalogue.duckdb' AS lake ({options})")

    def prepare(destination: str) -> None:
        connection.execute(f'CREATE TABLE IF NOT EXISTS lake."{destination}" ({COLUMNS})')

    def write(destination: str, batch: pa.Table) -> None:
        connection.register("batch", batch)
        connection.execute(f'INSERT INTO lake."{destination}" SELECT * FROM batch')

    answer({"prepare": prepare, "write": writing(write)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""DuckLake with rows inlined in its catalogue, a DuckDB file: the faster of the catalogues that need no server."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.workers.extensions import answer_with_inserts, connect

_INLINED_ROWS = 20_000  # more than any batch has, so that none becomes a Parquet file


def main(home: Path) -> None:
    home.mkdir(parents=True)
    connection = connect("ducklake")
    options = f"DATA_PATH '{home}/data', DATA_INLINING_ROW_LIMIT {_INLINED_ROWS}"
    connection.execute(f"ATTACH 'ducklake:{home}/catalogue.duckdb' AS lake ({options})")
    answer_with_inserts(connection, lambda destination: f'lake."{destination}"')


if __name__ == "__main__":
    main(Path(sys.argv[1]))

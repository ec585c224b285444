"""What a flush takes beside what a user would do instead, on the same disk, in turns, medians.

Rows on many days against `write_deltalake` partitioned by day, which flushes nothing to disk; rows of one day against a
bare COPY ... ORDER BY of DuckDB. Run it from the repository with `python -m benchmarks.flushes`; it takes two minutes.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from timestore_pipeline import Settings, StagingManager, clock
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

REPEATS = 3
DAYS = ((3_000, 3_000), (3_000, 300_000))  # days, rows
ONE_DAY = (300_000, 3_000_000)  # rows
_BATCH = 50_000  # rows
_MICROS_A_DAY = 86_400_000_000
_START = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


def main() -> None:
    """A table on standard output: seconds, and their ratio."""
    print(f"{'rows':>10}{'days':>7}{'flush s':>10}  {'beside':<34}{'s':>8}{'ratio':>8}")
    for days, count in DAYS:
        _compare(count, days, "write_deltalake(partition_by=day)", _write_deltalake)
    for count in ONE_DAY:
        _compare(count, 1, "COPY ... ORDER BY", _copy)


def rows(count: int, days: int) -> pa.Table:
    """In no order of time, in four columns."""
    order = np.random.default_rng(1).permutation(count)
    at = pa.array(_START + order * (days * _MICROS_A_DAY // count), pa.timestamp("us", "UTC"))
    return pa.table({"at": at, "n": order, "value": order / 7, "sensor": np.array(["a", "bb", "ccc"])[order % 3]})


def _compare(count: int, days: int, name: str, other: Callable[[pa.Table, Path], float]) -> None:
    data = rows(count, days)
    ours, theirs = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            ours.append(_flush(data, Path(folder)))
            theirs.append(other(data, Path(folder)))
    mine, beside = statistics.median(ours), statistics.median(theirs)
    print(f"{count:>10,}{days:>7,}{mine:>10.2f}  {name:<34}{beside:>8.2f}{mine / beside:>8.2f}")


def _flush(data: pa.Table, folder: Path) -> float:
    """Claim to finalize."""
    settings = Settings.build(home=folder / "home")
    with StagingManager.open(settings) as staging:
        for first in range(0, data.num_rows, _BATCH):
            staging.enqueue("d", data.slice(first, _BATCH))
    with Timestore(settings) as store:
        began = clock.monotonic()
        flush = store.flush("d", Trigger.MANUAL, "benchmark")
        assert flush is not None
        assert flush.volume.rows == data.num_rows
        return clock.monotonic() - began


def _write_deltalake(data: pa.Table, folder: Path) -> float:
    days = data.append_column("day", data["at"].cast(pa.date32()))
    began = clock.monotonic()
    write_deltalake(folder / "other", days, partition_by=["day"])
    return clock.monotonic() - began


def _copy(data: pa.Table, folder: Path) -> float:
    with duckdb.connect() as connection:
        connection.register("data", data)
        connection.execute("CREATE TABLE d AS SELECT * FROM data")
        began = clock.monotonic()
        target = f"'{folder}/copy.parquet' (FORMAT parquet, COMPRESSION zstd)"
        connection.execute(f'COPY (SELECT * FROM d ORDER BY "at") TO {target}')
        return clock.monotonic() - began


if __name__ == "__main__":
    main()

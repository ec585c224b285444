"""A day of many sensors in two tables, in order of time and sorted by sensor, and what readers read of one sensor."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, QueryBuilder

from benchmarks.workers.answering import answer
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.maintain.dataset_maintenance import maintain
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

_START = np.datetime64("2026-01-01T00:00", "us")
_HOUR = 60  # minutes; each sensor sends a row a minute
_HOURS = 24
_LAYOUTS: Mapping[str, Mapping[str, object]] = {
    "by_time": {},
    "by_sensor": {"sortBy": ["sensor"], "rowGroupSize": 16_384},
}
_MB = 1e6

Read = Callable[[DeltaTable, str], int]  # returns the number of rows of that sensor


class Sensors:
    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._settings = Settings.build(home=home)

    def publish(self, sensors: int) -> None:
        """Both tables, flushed every hour and then compacted, as maintenance does it."""
        with StagingManager.open(self._settings) as staging, Timestore(self._settings) as store:
            for layout, flush in _LAYOUTS.items():
                store.set_metadata(layout, {"staging": {"flush": dict(flush)}})
                for hour in range(_HOURS):
                    staging.enqueue(layout, _hour(hour, sensors))
                    store.flush(layout, Trigger.MANUAL, "benchmark")
            done = list(maintain(store.area, store.lake, list(_LAYOUTS), store.maintain_options()))
            assert not any(one.errors for one in done), done

    def read(self, layout: str, reader: str, sensor: int) -> dict[str, float]:
        """Megabytes that system calls have read, and seconds, for all values of one sensor."""
        table = DeltaTable(f"{self._settings.lake_uri}/{layout}")
        before, began = _megabytes_read(), time.perf_counter()
        rows = READERS[reader](table, _name(sensor))
        seconds = time.perf_counter() - began
        assert rows == _HOURS * _HOUR, rows
        return {"read": _megabytes_read() - before, "seconds": seconds}


def _hour(hour: int, sensors: int) -> pa.Table:
    """Every sensor's rows of one hour, in order of time."""
    instants = _START + np.repeat(np.arange(_HOUR) + hour * _HOUR, sensors).astype("timedelta64[m]")
    rng = np.random.default_rng(hour)
    return pa.table(
        {
            "time": pa.array(instants, pa.timestamp("us", "UTC")),
            "sensor": [_name(number) for number in range(sensors)] * _HOUR,
            "value": rng.normal(20, 5, _HOUR * sensors),
            "quality": rng.integers(0, 3, _HOUR * sensors),
        }
    )


def _name(sensor: int) -> str:
    return f"sensor-{sensor:04}"


def _megabytes_read() -> float:
    """Of this process so far, from files or the page cache alike."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"]) / _MB


def _with_duckdb(table: DeltaTable, sensor: str) -> int:
    with duckdb.connect() as connection:
        files = connection.read_parquet(table.file_uris())
        return len(files.filter(f"sensor = '{sensor}'").select("time, value").fetchall())


def _with_polars(table: DeltaTable, sensor: str) -> int:
    return pl.scan_delta(table).filter(pl.col("sensor") == sensor).select("time", "value").collect().height


def _with_datafusion(table: DeltaTable, sensor: str) -> int:
    query = f"SELECT time, value FROM t WHERE sensor = '{sensor}'"
    return len(pa.table(QueryBuilder().register("t", table).execute(query)))


def _with_pyarrow(table: DeltaTable, sensor: str) -> int:
    return len(table.to_pyarrow_dataset().to_table(["time", "value"], ds.field("sensor") == sensor))


READERS: Mapping[str, Read] = {
    "duckdb": _with_duckdb,
    "polars": _with_polars,
    "datafusion": _with_datafusion,
    "pyarrow": _with_pyarrow,
}


def main(home: Path) -> None:
    sensors = Sensors(home)
    answer({"publish": sensors.publish, "read": sensors.read})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

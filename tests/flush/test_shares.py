"""Rows by batch and partition, whichever way they are counted."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import duckdb
import pyarrow as pa
import pytest

from timestore_pipeline.flush.attach import StagedSource
from timestore_pipeline.flush.shares import count_shares
from timestore_pipeline.flush.staged_view import SOURCE_COLUMN
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.staging.group_rows import BATCH_COLUMN

EVENING, NIGHT, NEXT_DAY = (datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in ((1, 20), (1, 23), (2, 1)))
TIMES = pa.timestamp("us", "UTC")
BATCHES: dict[str, list[list[datetime | int | None]]] = {
    "each batch on one day": [[EVENING, NIGHT], [NEXT_DAY], [NIGHT]],
    "all on one day": [[EVENING, NIGHT], [NIGHT]],
    "a batch across midnight": [[EVENING], [NIGHT, NEXT_DAY]],
    "a batch with a row without a time": [[EVENING], [NIGHT, None]],
    "a batch without any time": [[None, None], [NIGHT]],
    "a year that no partition spells": [[NIGHT, 10**18], [EVENING]],
    "nothing": [],
}


@pytest.mark.parametrize("granularity", Granularity)
@pytest.mark.parametrize("name", BATCHES)
def test_shares_are_what_counting_each_row_gives(name: str, granularity: Granularity) -> None:
    batches = BATCHES[name]
    rule = Partitioning.of(pa.schema([("at", TIMES)]), granularity, "at")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        _stage(connection, batches)
        value = rule.value_sql()
        each = connection.execute(f"SELECT {BATCH_COLUMN}, {value} FROM staged").fetchall()
        shares = count_shares(connection, rule, [StagedSource("a", "a", []), StagedSource("b", "b", [])])
    found = {(share.held_in, share.sequence, share.key): share.rows for share in shares}
    assert len(found) == len(shares)
    assert found == Counter(("ab"[batch % 2], batch, rule.key(of)) for batch, of in each)
    assert [share.key.value or "" for share in shares] == sorted(share.key.value or "" for share in shares)


def test_a_batch_of_one_day_in_a_column_of_dates() -> None:
    rule = Partitioning.of(pa.schema([("at", pa.date32())]), Granularity.DAY, "at")
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE staged AS SELECT 0 AS {SOURCE_COLUMN}, 7 AS {BATCH_COLUMN}, DATE '2026-03-01' AS \"at\""
        )
        [share] = count_shares(connection, rule, [StagedSource("a", "a", [])])
    assert (share.place, share.key, share.rows) == (("a", 7), rule.key(date(2026, 3, 1)), 1)


def _stage(connection: duckdb.DuckDBPyConnection, batches: list[list[datetime | int | None]]) -> None:
    """Batches lie in two segments by turns."""
    times = [time for batch in batches for time in batch]
    numbers = [number for number, batch in enumerate(batches) for _ in batch]
    rows = pa.table(  # noqa: F841  # DuckDB reads it by its name
        {
            SOURCE_COLUMN: pa.array([number % 2 for number in numbers], pa.int32()),
            BATCH_COLUMN: pa.array(numbers, pa.int32()),
            "at": pa.array(times, TIMES),
        }
    )
    connection.execute("CREATE TABLE staged AS SELECT * FROM rows")

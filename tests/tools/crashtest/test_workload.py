"""Batches that prove themselves: made alike each time, and checked by DuckDB from their values."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from timestore_pipeline.tools.crashtest.schedule import DATASETS, ROSTER, Role, checksum_sql, digest, make_batch


def test_a_batch_is_the_same_whenever_it_is_made() -> None:
    assert make_batch(1, 2, 3) == make_batch(1, 2, 3)
    assert make_batch(1, 2, 3).digest != make_batch(2, 2, 3).digest


def test_the_digest_is_that_of_its_rows_checksums() -> None:
    batch = make_batch(1, 0, 0)
    assert batch.digest == digest(batch.table["checksum"].to_pylist())


@pytest.mark.parametrize("number", [0, 41, 90, 130, 500])
def test_duckdb_computes_the_checksum_of_every_row_from_its_values(number: int) -> None:
    batch = make_batch(1, 1, number)
    rows = batch.table  # noqa: F841  # DuckDB reads it by its name
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = f"SELECT count(*) FROM rows WHERE checksum = {checksum_sql(batch.table.column_names)}"
        assert connection.sql(query).fetchall() == [(batch.rows,)]


def test_there_are_all_kinds_of_batches() -> None:
    batches = [make_batch(1, 0, number) for number in range(200)]
    assert {batch.dataset for batch in batches} == set(DATASETS)
    assert any(batch.key is None for batch in batches)
    assert min(batch.rows for batch in batches) < 10
    assert max(batch.rows for batch in batches) > 500
    assert {"extra_1", "extra_4"} <= set(batches[-1].table.column_names)
    assert "extra_1" not in batches[0].table.column_names
    assert sum(batch.table["at"].null_count for batch in batches) > 0


def test_the_schema_of_an_evolver_goes_on_growing_and_its_rows_prove_themselves() -> None:
    evolver = ROSTER.index(Role.EVOLVER)
    batches = [make_batch(1, evolver, number) for number in (0, 10, 100, 101, 5000)]
    later = [batch.table.column_names[-2] for batch in batches]
    assert later == ["evolved_0", "evolved_3", "evolved_10", "evolved_10", "evolved_70"]
    rows = pa.concat_tables([batch.table for batch in batches], promote_options="default")
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = f"SELECT count(*) FROM rows WHERE checksum = {checksum_sql(rows.column_names)}"
        assert connection.sql(query).fetchall() == [(rows.num_rows,)]

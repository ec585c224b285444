from __future__ import annotations

from datetime import date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.lake.layout import Partitioning, TimeKind, file_name, first_time_column, folder, written_by
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.lake import PartitionKey

ODD_NAME = 'wh"en, é'
ARROW = {TimeKind.DATE: pa.date32(), TimeKind.NAIVE: pa.timestamp("us"), TimeKind.UTC: pa.timestamp("us", tz="UTC")}
EDGES = [
    None,
    datetime.fromisoformat("0001-01-01"),
    datetime.fromisoformat("2013-01-31 23:59:59.999999"),
    datetime.fromisoformat("2013-02-01"),
    datetime.fromisoformat("2013-03-31 02:30"),  # skipped by European clocks
    datetime.fromisoformat("9999-12-31 23:59:59.999999"),
]


def partitions(
    con: duckdb.DuckDBPyConnection, granularity: Granularity, kind: TimeKind, times: list[datetime | None]
) -> dict[PartitionKey, list[int]]:
    """Partition key -> positions in `times` of its rows, found the way the exporter finds them."""
    column = pa.array(times, pa.timestamp("us")).cast(
        pa.timestamp("us", tz="UTC") if kind is TimeKind.UTC else ARROW[kind], safe=False
    )
    con.register("incoming", pa.table({"i": range(len(times)), ODD_NAME: column}))
    rule = Partitioning(granularity, ODD_NAME, kind)
    keys = [rule.key(value) for (value,) in con.sql(f"SELECT DISTINCT {rule.value_sql()} FROM incoming").fetchall()]
    return {
        key: [i for (i,) in con.sql(f"SELECT i FROM incoming WHERE {rule.predicate(key)} ORDER BY i").fetchall()]
        for key in keys
    }


def expected_value(granularity: Granularity, kind: TimeKind, time: datetime) -> str:
    start = time.replace(minute=0, second=0, microsecond=0)
    if kind is TimeKind.DATE or granularity is not Granularity.HOUR:
        start = start.replace(hour=0)
    if granularity is Granularity.MONTH:
        start = start.replace(day=1)
    return start.isoformat(" ") if granularity is Granularity.HOUR else start.date().isoformat()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("kind", TimeKind)
@pytest.mark.parametrize("granularity", [Granularity.HOUR, Granularity.DAY, Granularity.MONTH])
def test_every_row_is_in_exactly_the_partition_of_its_utc_time(
    con: duckdb.DuckDBPyConnection, granularity: Granularity, kind: TimeKind, zone: str
) -> None:
    con.execute(f"SET timezone = '{zone}'")
    found = partitions(con, granularity, kind, EDGES)
    value = {i: key.value for key, positions in found.items() for i in positions}
    assert value == {i: time and expected_value(granularity, kind, time) for i, time in enumerate(EDGES)}
    assert sum(map(len, found.values())) == len(EDGES)


@given(st.lists(st.none() | st.datetimes(), max_size=20), st.sampled_from(TimeKind), st.sampled_from(Granularity))
def test_partitions_never_overlap_and_never_drop_a_row(
    engine: duckdb.DuckDBPyConnection, times: list[datetime | None], kind: TimeKind, granularity: Granularity
) -> None:
    with engine.cursor() as con:
        found = partitions(con, granularity, kind, times)
    assert sorted(i for positions in found.values() for i in positions) == list(range(len(times)))


@pytest.mark.parametrize("kind", TimeKind)
@pytest.mark.parametrize("outlier", ["infinity", "-infinity", "0044-03-15 (BC)", "12345-06-07"])
def test_times_that_delta_cannot_spell_go_to_the_null_partition(
    con: duckdb.DuckDBPyConnection, kind: TimeKind, outlier: str
) -> None:
    con.execute(f"CREATE TABLE incoming AS SELECT CAST('{outlier}' AS {kind}) AS t")
    rule = Partitioning(Granularity.HOUR, "t", kind)
    assert con.sql(f"SELECT {rule.value_sql()} FROM incoming").fetchall() == [(None,)]
    assert con.sql(f"SELECT 1 FROM incoming WHERE {rule.predicate(rule.key(None))}").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("granularity", "time_column", "column"),
    [
        (Granularity.HOUR, "t", "partition_hour"),
        (Granularity.DAY, "t", "partition_date"),
        (Granularity.MONTH, None, "partition_date"),
        (Granularity.NONE, "t", None),
        (Granularity.DAY, "gone", None),
        (Granularity.DAY, "n", None),
    ],
)
def test_the_partition_column_follows_from_granularity_and_time_column(
    granularity: Granularity, time_column: str | None, column: str | None
) -> None:
    schema = pa.schema([("n", pa.int64()), ("t", pa.timestamp("us")), ("d", pa.date32())])
    assert Partitioning.of(schema, granularity, time_column).column == column


def test_without_a_partition_column_there_is_one_partition_of_everything() -> None:
    rule = Partitioning.of(pa.schema([("n", pa.int64())]), Granularity.DAY)
    assert (rule.value_sql(), rule.key(None), rule.predicate(rule.key(None)), rule.field) == (
        "NULL",
        PartitionKey(None, None),
        "TRUE",
        None,
    )


@pytest.mark.parametrize(("types", "name"), [([pa.int64(), pa.date32()], "c1"), ([pa.string()], None)])
def test_the_first_date_or_timestamp_is_the_default_time_column(types: list[Any], name: str | None) -> None:
    assert first_time_column(pa.schema([(f"c{i}", kind) for i, kind in enumerate(types)])) == name


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (PartitionKey(None, None), ""),
        (PartitionKey("partition_date", "2013-01-01"), "partition_date=2013-01-01/"),
        (PartitionKey("partition_hour", "2013-01-01 05:00:00"), "partition_hour=2013-01-01%2005%3A00%3A00/"),
        (PartitionKey("partition_date", None), "partition_date=__HIVE_DEFAULT_PARTITION__/"),
    ],
)
def test_folders_are_encoded_as_hive_does(key: PartitionKey, expected: str) -> None:
    assert folder(key) == expected


def test_file_names_carry_shard_and_epoch_and_never_repeat() -> None:
    key = PartitionKey("partition_date", "2013-01-01")
    names = {file_name(key, "rack 1/a", 7) for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("partition_date=2013-01-01/part-rack%201%2Fa-0000000007-") for name in names)


def test_keys_are_spelt_as_the_delta_log_spells_them() -> None:
    rule = Partitioning(Granularity.HOUR, "t", TimeKind.UTC)
    assert rule.key(datetime.fromisoformat("2013-01-01 05:00")).value == "2013-01-01 05:00:00"
    assert Partitioning(Granularity.DAY, "t", TimeKind.UTC).key(date(13, 1, 1)).value == "0013-01-01"


def test_a_file_name_identifies_its_writer() -> None:
    path = file_name(PartitionKey("partition_date", "2013-01-01"), "edge-7/ü", 42)
    assert written_by(path) == ("edge-7/ü", 42)


def test_a_foreign_file_name_identifies_no_writer() -> None:
    assert written_by("part-00000-2c1d-c000.snappy.parquet") is None

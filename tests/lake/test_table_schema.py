from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.lake.exporting import UNPARTITIONED, publish
from tests.lake.reading import READERS
from timestore_pipeline.errors import InvalidData, SchemaConflict
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.lake.table_schema import delta_schema
from timestore_pipeline.model.dataset import Granularity

NESTED = pa.struct([("a", pa.list_(pa.float64())), ("b", pa.map_(pa.string(), pa.timestamp("us", tz="Europe/Berlin")))])
TYPES: list[pa.DataType] = [
    pa.bool_(),
    pa.int8(),
    pa.int64(),
    pa.float32(),
    pa.string(),
    pa.binary(),
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("us", tz="Asia/Kolkata"),
    pa.decimal128(38, 10),
    NESTED,
]


A = pa.int64()
SHORT = pa.struct([("a", A)])
LONG = pa.struct([("a", A), ("b", pa.struct([("c", pa.list_(A))]))])


def day(schema: pa.Schema) -> Partitioning:
    return Partitioning.of(schema, Granularity.DAY)


def test_every_type_delta_has_is_kept_and_ensuring_again_changes_nothing(table: LakeTable) -> None:
    schema = pa.schema([pa.field(f"c{i}", kind, nullable=False) for i, kind in enumerate(TYPES)])
    table.ensure(schema, UNPARTITIONED)
    table.ensure(schema, UNPARTITIONED)
    stored = table.schema()
    assert [stored.field(i).type for i in range(8)] == TYPES[:8]
    assert stored.field("c8").type == pa.timestamp("us", tz="UTC")
    assert all(field.nullable for field in stored)


@pytest.mark.parametrize(
    "kind",
    [
        pa.uint8(),
        pa.uint64(),
        pa.timestamp("ns"),
        pa.timestamp("s"),
        pa.time64("ns"),
        pa.duration("s"),
        pa.null(),
        pa.float16(),
        pa.decimal256(60, 2),
        pa.list_(pa.uint8()),
        pa.struct([("x", pa.null())]),
    ],
)
def test_a_type_that_delta_would_lose_is_refused_by_column(kind: pa.DataType) -> None:
    with pytest.raises(InvalidData, match=r"column 'odd.* cannot keep without loss"):
        delta_schema(pa.schema([("odd", kind)]), UNPARTITIONED)


def test_new_columns_are_added_also_the_first_naive_timestamp(table: LakeTable) -> None:
    table.ensure(pa.schema([("n", pa.int64())]), UNPARTITIONED)
    table.ensure(pa.schema([("n", pa.int64()), ("naive", pa.timestamp("us")), ("ünï \"c'", NESTED)]), UNPARTITIONED)
    assert table.schema().names == ["n", "naive", "ünï \"c'"]


def test_columns_that_are_missing_from_the_rows_stay(table: LakeTable) -> None:
    table.ensure(pa.schema([("a", pa.int64()), ("b", pa.int64())]), UNPARTITIONED)
    table.ensure(pa.schema([("b", pa.int64())]), UNPARTITIONED)
    assert table.schema().names == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "kind", "existing", "incoming"),
    [
        ("n", pa.int32(), "long", "integer"),
        ("n", pa.string(), "long", "string"),
        ("N", pa.int64(), "long", "long"),
    ],
)
def test_a_changed_column_is_a_conflict_that_says_both_types(
    table: LakeTable, name: str, kind: pa.DataType, existing: str, incoming: str
) -> None:
    table.ensure(pa.schema([("n", pa.int64())]), UNPARTITIONED)
    with pytest.raises(SchemaConflict) as refused:
        table.ensure(pa.schema([(name, kind)]), UNPARTITIONED)
    assert (refused.value.column, refused.value.existing, refused.value.incoming) == (name, existing, incoming)


@pytest.mark.parametrize("change", [pa.struct([("a", pa.string())]), pa.struct([("A", A)]), pa.list_(A)])
def test_a_changed_nested_column_is_a_conflict(table: LakeTable, change: Any) -> None:
    table.ensure(pa.schema([("s", SHORT)]), UNPARTITIONED)
    with pytest.raises(SchemaConflict, match="column 's'"):
        table.ensure(pa.schema([("s", change)]), UNPARTITIONED)


WRAPPED: dict[str, Callable[[pa.DataType], pa.DataType]] = {
    "column": lambda kind: kind,
    "list": pa.list_,
    "struct": lambda kind: pa.struct([("x", pa.list_(kind))]),
}
VALUES: dict[str, Callable[[Any], Any]] = {
    "column": lambda value: value,
    "list": lambda value: [value, None],
    "struct": lambda value: {"x": [value]},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_struct_grows_and_every_reader_finds_null_where_a_field_was_not_there(table: LakeTable, name: str) -> None:
    wrap, value = WRAPPED[name], VALUES[name]
    publish(table, pa.table({"s": pa.array([value({"a": 1}), None], wrap(SHORT))}))
    publish(table, pa.table({"s": pa.array([value({"b": {"c": [2]}, "a": 3})], wrap(LONG))}), epoch=2)
    publish(table, pa.table({"s": pa.array([value({"a": 4})], wrap(SHORT))}), epoch=3)
    expected = [value({"a": 1, "b": None}), None, value({"a": 3, "b": {"c": [2]}}), value({"a": 4, "b": None})]
    for read in READERS.values():
        assert sorted(read(table.uri)["s"].to_pylist(), key=repr) == sorted(expected, key=repr)
    assert sorted(table.to_arrow_dataset().to_table()["s"].to_pylist(), key=repr) == sorted(expected, key=repr)
    assert DeltaTable(table.uri).version() == 4  # created, three flushes, and one commit for the grown struct


def test_two_structs_may_grow_apart_and_the_table_has_what_either_has(table: LakeTable) -> None:
    for more in ("b", "c"):
        table.ensure(pa.schema([("s", pa.struct([(more, A), ("a", A)]))]), UNPARTITIONED)
    assert table.schema().field("s").type == pa.struct([("b", A), ("a", A), ("c", A)])


def test_a_struct_that_gains_a_local_time_brings_its_feature(table: LakeTable) -> None:
    table.ensure(pa.schema([("s", SHORT)]), UNPARTITIONED)
    table.ensure(pa.schema([("s", pa.struct([("a", A), ("at", pa.timestamp("us"))]))]), UNPARTITIONED)
    assert DeltaTable(table.uri).protocol().reader_features == ["timestampNtz"]


@pytest.mark.parametrize("wrap", [lambda kind: kind, lambda kind: pa.list_(kind)])
def test_a_struct_in_a_map_does_not_grow(table: LakeTable, wrap: Callable[[pa.DataType], pa.DataType]) -> None:
    """DataFusion could not open the table any more; staged rows are cast to what is published, or set aside."""
    short, long = (pa.schema([("m", wrap(pa.map_(pa.string(), kind)))]) for kind in (SHORT, LONG))
    table.ensure(short, UNPARTITIONED)
    with pytest.raises(SchemaConflict, match="column 'm'"):
        table.ensure(long, UNPARTITIONED)
    assert table.as_published(long) == short


def test_rows_are_published_in_the_spelling_of_the_table_and_keep_their_new_fields(table: LakeTable) -> None:
    table.ensure(pa.schema([("s", pa.list_(pa.struct([("Old", A), ("a", pa.float64())])))]), UNPARTITIONED)
    rows = pa.schema([("S", pa.list_(pa.struct([("a", A), ("old", A), ("new", A)])))])
    kept = pa.struct([("Old", A), ("a", pa.float64()), ("new", A)])
    assert table.as_published(rows) == pa.schema([("s", pa.list_(kept))])


def test_a_duration_stays_one_where_the_table_has_its_microseconds(table: LakeTable) -> None:
    rows = pa.schema([("d", pa.list_(pa.struct([("t", pa.time64("us"))]))), ("n", pa.int64())])
    table.ensure(rows, UNPARTITIONED)
    assert table.schema() == pa.schema([("d", pa.list_(pa.struct([("t", pa.int64())]))), ("n", pa.int64())])
    assert table.as_published(rows) == rows
    table.ensure(rows, UNPARTITIONED)


def test_day_and_month_share_a_partition_column_and_hour_does_not(table: LakeTable) -> None:
    schema = pa.schema([("t", pa.timestamp("us"))])
    table.ensure(schema, day(schema))
    table.ensure(schema, Partitioning.of(schema, Granularity.MONTH))
    assert table.partition_columns() == ["partition_date"]
    with pytest.raises(SchemaConflict, match="partitioned by"):
        table.ensure(schema, Partitioning.of(schema, Granularity.HOUR))
    with pytest.raises(SchemaConflict, match="partitioned by"):
        table.ensure(schema, Partitioning.of(schema, Granularity.NONE))


def test_the_name_of_the_partition_column_is_reserved_where_it_is_used() -> None:
    schema = pa.schema([("t", pa.timestamp("us")), ("partition_date", pa.string())])
    with pytest.raises(SchemaConflict, match="reserved"):
        delta_schema(schema, day(schema))
    assert delta_schema(schema, Partitioning.of(schema, Granularity.NONE)).names == ["t", "partition_date"]

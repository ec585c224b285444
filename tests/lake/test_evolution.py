from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from tests.lake.exporting import UNPARTITIONED
from timestore_pipeline.errors import InvalidData, SchemaConflict
from timestore_pipeline.lake.evolution import table_schema
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.table import LakeTable
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
        pa.time64("us"),
        pa.duration("us"),
        pa.null(),
        pa.float16(),
        pa.decimal256(60, 2),
        pa.list_(pa.uint8()),
        pa.struct([("x", pa.null())]),
    ],
)
def test_a_type_that_delta_would_lose_is_refused_by_column(kind: pa.DataType) -> None:
    with pytest.raises(InvalidData, match=r"column 'odd.* cannot keep without loss"):
        table_schema(pa.schema([("odd", kind)]), UNPARTITIONED)


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


@pytest.mark.parametrize("change", [pa.struct([("a", pa.int64()), ("b", pa.int64())]), pa.list_(pa.int64())])
def test_a_changed_nested_column_is_a_conflict(table: LakeTable, change: Any) -> None:
    table.ensure(pa.schema([("s", pa.struct([("a", pa.int64())]))]), UNPARTITIONED)
    with pytest.raises(SchemaConflict, match="column 's'"):
        table.ensure(pa.schema([("s", change)]), UNPARTITIONED)


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
        table_schema(schema, day(schema))
    assert table_schema(schema, Partitioning.of(schema, Granularity.NONE)).names == ["t", "partition_date"]

"""Canonical types: the type for each Arrow type, and refusals that name the column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.errors import Corrupted, InvalidData
from timestore_pipeline.lake.layout import first_time_column
from timestore_pipeline.model.canonical import (
    DEEPEST,
    DURATION,
    TIME,
    TIMESTAMP,
    TIMESTAMP_UTC,
    canonical_schema,
    canonical_type,
    stored_schema,
)
from timestore_pipeline.model.schema_json import schema_from_json, schema_to_json
from timestore_pipeline.model.sql_types import duckdb_type, quote

INTERVAL = pa.month_day_nano_interval()
CANONICAL = [
    (pa.bool_(), pa.bool_()),
    *[(type_, pa.int64()) for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64())],
    *[(type_, pa.int64()) for type_ in (pa.uint8(), pa.uint16(), pa.uint32())],
    (pa.uint64(), pa.decimal128(38, 0)),
    *[(type_, pa.float64()) for type_ in (pa.float16(), pa.float32(), pa.float64())],
    (pa.decimal32(5, 2), pa.decimal128(38, 2)),
    (pa.decimal64(15, 3), pa.decimal128(38, 3)),
    (pa.decimal128(5, -2), pa.decimal128(38, 0)),
    (pa.decimal256(50, 2), pa.decimal128(38, 2)),
    *[(type_, pa.string()) for type_ in (pa.string(), pa.large_string(), pa.string_view())],
    *[(type_, pa.binary()) for type_ in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4))],
    (pa.date32(), pa.date32()),
    (pa.date64(), pa.date32()),
    *[(pa.timestamp(unit), TIMESTAMP) for unit in ("s", "ms", "us", "ns")],
    *[(pa.timestamp(unit, "America/New_York"), TIMESTAMP_UTC) for unit in ("s", "ms", "us", "ns")],
    (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
    (pa.run_end_encoded(pa.int32(), pa.float32()), pa.float64()),
    (pa.uuid(), pa.string()),
    (pa.bool8(), pa.bool_()),
    (pa.opaque(pa.binary(16), "hugeint", "DuckDB"), pa.decimal128(38, 0)),
    *[(type_, TIME) for type_ in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))],
    *[(pa.duration(unit), DURATION) for unit in ("s", "ms", "us", "ns")],
    (pa.json_(), pa.string()),
    *[(make(pa.int16()), pa.list_(pa.int64())) for make in (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)],
    (pa.list_(pa.float32(), 3), pa.list_(pa.float64())),
    (pa.struct([pa.field("x", pa.int8(), nullable=False)]), pa.struct([("x", pa.int64())])),
    (pa.map_(pa.string_view(), pa.int8()), pa.map_(pa.string(), pa.int64())),
]


@pytest.mark.parametrize(("raw", "canonical"), CANONICAL, ids=str)
def test_each_type_starts_in_the_widest_of_its_kind(raw: pa.DataType, canonical: pa.DataType) -> None:
    assert canonical_type(raw, "v").equals(canonical)


@pytest.mark.parametrize("type_", list(dict.fromkeys(canonical for _, canonical in CANONICAL)), ids=str)
def test_a_canonical_type_is_its_own_canonical_type(type_: pa.DataType) -> None:
    assert canonical_type(type_, "v").equals(type_)


@pytest.mark.parametrize(
    ("type_", "waiting"),
    [
        (pa.list_(pa.null()), pa.list_(pa.null())),
        (pa.list_(pa.struct([])), pa.list_(pa.null())),
        (pa.struct([("code", pa.null()), ("n", pa.int8())]), pa.struct([("code", pa.null()), ("n", pa.int64())])),
        (pa.struct([("a", pa.struct([("b", pa.null())]))]), pa.struct([("a", pa.struct([("b", pa.null())]))])),
        (pa.map_(pa.string(), pa.null()), pa.map_(pa.string(), pa.null())),
    ],
    ids=str,
)
def test_a_type_of_nothing_but_nulls_waits(type_: pa.DataType, waiting: pa.DataType) -> None:
    assert canonical_type(type_, "v") == waiting
    schema = pa.schema([("v", waiting)])
    assert schema_from_json(schema_to_json(schema)) == schema


@pytest.mark.parametrize(
    ("type_", "path", "named"),
    [
        (INTERVAL, "v", "month_day_nano_interval"),
        (pa.sparse_union([pa.field("a", pa.int8())]), "v", "union"),
        (pa.decimal256(76, 50), "v", "decimal256(76, 50)"),
        (pa.list_(pa.struct([("t", INTERVAL)])), "v[].t", "month_day_nano_interval"),
        (pa.map_(pa.string(), INTERVAL), "v{value}", "month_day_nano_interval"),
        (pa.map_(INTERVAL, pa.int8()), "v{key}", "month_day_nano_interval"),
    ],
    ids=str,
)
def test_a_type_without_counterpart_is_refused_with_path_type_and_remedy(
    type_: pa.DataType, path: str, named: str
) -> None:
    with pytest.raises(InvalidData) as caught:
        canonical_type(type_, "v")
    assert repr(path) in str(caught.value)
    assert named in str(caught.value)
    assert caught.value.hint


def test_a_schema_loses_metadata_and_non_nullability() -> None:
    raw = pa.schema([pa.field("a", pa.int8(), nullable=False, metadata={"k": "v"})], metadata={"pandas": "{}"})
    schema = canonical_schema(raw)
    assert schema.equals(pa.schema([("a", pa.int64())]), check_metadata=True)


def test_a_column_of_nulls_joins_later() -> None:
    raw = pa.schema([("a", pa.int8()), ("b", pa.null()), ("c", pa.struct([]))])
    assert canonical_schema(raw).names == ["a"]


def test_names_that_only_need_quoting_are_kept() -> None:
    names = ["at", "select", '"quoted"', "two words", "größe", "温度", "a.b", "x{}", "it's"]
    assert canonical_schema(pa.schema([(name, pa.int8()) for name in names])).names == names


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ([], "none"),
        ([""], "''"),
        (["a\0b"], "a\\x00b"),
        (["__timestore_batch"], "__timestore_batch"),
        (["__TimeStore"], "__TimeStore"),
        (["Partition_Date"], "Partition_Date"),
        (["partition_hour"], "partition_hour"),
        (["partition_month"], "partition_month"),
        (["temp", "Temp"], "'temp' and 'Temp'"),
        (["same", "same"], "'same' and 'same'"),
    ],
)
def test_names_that_engines_do_not_distinguish_are_refused(names: list[str], named: str) -> None:
    with pytest.raises(InvalidData, match="column") as caught:
        canonical_schema(pa.schema([(name, pa.int8()) for name in names]))
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "wrap", [pa.list_, lambda inner: pa.struct([("s", inner)]), lambda inner: pa.map_(pa.string(), inner)]
)
def test_a_column_nested_deeper_than_parquet_readers_go_is_refused(wrap: Callable[[pa.DataType], pa.DataType]) -> None:
    type_ = pa.int64()
    for _ in range(DEEPEST - 1):
        type_ = wrap(type_)
    assert canonical_type(type_, "a") == type_
    with pytest.raises(InvalidData, match="nested deeper than 32 levels"):
        canonical_type(wrap(type_), "a")


@pytest.mark.parametrize("wrap", [lambda s: s, pa.list_, lambda s: pa.map_(pa.string(), s)])
def test_field_names_are_checked_at_every_depth(wrap: Any) -> None:
    struct = pa.struct([("x", pa.int8()), ("X", pa.int8())])
    with pytest.raises(InvalidData, match=r"'x' and 'X' in 'v"):
        canonical_schema(pa.schema([("v", wrap(struct))]))


def test_data_with_no_typed_column_is_refused_naming_its_columns() -> None:
    with pytest.raises(InvalidData, match="columns: a, b"):
        canonical_schema(pa.schema([("a", pa.null()), ("b", pa.null())]))


def test_the_first_date_or_timestamp_dates_a_row() -> None:
    fields = [("n", pa.int64()), ("day", pa.date32()), ("at", TIMESTAMP_UTC)]
    assert first_time_column(pa.schema(fields)) == "day"
    assert first_time_column(pa.schema(fields[2:])) == "at"
    assert first_time_column(pa.schema(fields[:1])) is None


LEAVES = [
    pa.bool_(),
    pa.int64(),
    pa.float64(),
    pa.string(),
    pa.binary(),
    pa.date32(),
    TIMESTAMP,
    TIMESTAMP_UTC,
    TIME,
    DURATION,
    pa.decimal128(38, 0),
    pa.decimal128(38, 38),
]
_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


def _fields(types: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[list[pa.Field]]:
    pairs = st.lists(st.tuples(_NAMES, types), min_size=1, max_size=4, unique_by=lambda pair: pair[0].casefold())
    return pairs.map(lambda found: [pa.field(name, type_) for name, type_ in found])


_TYPES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: (
        inner.map(pa.list_) | _fields(inner).map(pa.struct) | inner.map(lambda value: pa.map_(pa.string(), value))
    ),
    max_leaves=6,
)
SCHEMAS = _fields(_TYPES).map(pa.schema)


@given(SCHEMAS)
def test_a_schema_survives_the_ledger(schema: pa.Schema) -> None:
    text = schema_to_json(schema)
    assert schema_from_json(text).equals(schema, check_metadata=True)
    assert schema_to_json(schema_from_json(text)) == text


def test_the_stored_form_can_be_read_by_a_person() -> None:
    schema = pa.schema([("größe", pa.decimal128(38, 2)), ("tags", pa.list_(pa.string()))])
    assert schema_to_json(schema) == (
        '{"columns": [{"name": "größe", "type": {"decimal": [38, 2]}}, {"name": "tags", "type": {"list": "string"}}]}'
    )


@pytest.mark.parametrize(
    "text", ["", "{}", '{"columns": [{"name": "a"}]}', '{"columns": [{"name": "a", "type": "u8"}]}']
)
def test_a_damaged_stored_schema_is_reported_with_its_text(text: str) -> None:
    with pytest.raises(Corrupted, match="stored schema"):
        schema_from_json(text)


@given(SCHEMAS)
def test_duckdb_understands_every_canonical_type(schema: pa.Schema) -> None:
    columns = ", ".join(f"{quote(field.name)} {duckdb_type(field.type)}" for field in schema)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
        connection.execute("SET TimeZone = 'UTC'")
        assert connection.sql("FROM t").to_arrow_table().schema.equals(stored_schema(schema))

"""Conforming keeps every value or names the first it could not keep."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.ingest.values.conform import conform
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import DEFAULT_POLICY
from timestore_pipeline.model.canonical import TIMESTAMP, TIMESTAMP_UTC, canonical_schema

DAY = 86_400_000_000


def conformed(array: pa.Array, target: pa.DataType) -> pa.ChunkedArray:
    schema = pa.schema([("v", target)])
    table = conform(interpret(pa.table({"v": array}), DEFAULT_POLICY, schema), schema, None)
    table.validate(full=True)
    assert table.schema.equals(schema, check_metadata=True)
    return table.column("v")


def test_columns_come_in_the_dataset_order_and_missing_ones_are_null() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.list_(pa.int64()))])
    table = conform(pa.table({"b": ["x"], "a": pa.array([1], pa.int8()), "z": pa.nulls(1)}), schema, None)
    assert table.to_pylist() == [{"a": 1, "b": "x", "c": None}]
    assert table.schema.equals(schema)


def test_a_column_the_schema_does_not_know_is_never_dropped_in_silence() -> None:
    with pytest.raises(InvalidData, match="'b'"):
        conform(pa.table({"a": [1], "b": [2]}), pa.schema([("a", pa.int64())]), None)


def test_a_table_that_fits_already_is_passed_on_without_its_metadata() -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"k": "v"})
    result = conform(table, table.schema, None)
    assert result.schema.metadata is None
    assert result.column("a").chunk(0).buffers()[1].address == table.column("a").chunk(0).buffers()[1].address


@pytest.mark.parametrize(
    ("array", "target", "values"),
    [
        (pa.array([2000, None], pa.timestamp("ns")), TIMESTAMP, [2, None]),
        (pa.array([2], pa.timestamp("s", "Asia/Tokyo")), TIMESTAMP_UTC, [2_000_000]),
        (pa.array([date(1970, 1, 2)]), TIMESTAMP, [DAY]),
        (pa.array([date(1970, 1, 2)]), TIMESTAMP_UTC, [DAY]),
    ],
)
def test_times_keep_their_instant(array: pa.Array, target: pa.DataType, values: list[int | None]) -> None:
    assert conformed(array, target).cast(pa.int64()).to_pylist() == values


@pytest.mark.parametrize(
    ("array", "target", "values"),
    [
        (pa.array([2**60, -(2**53), None]), pa.float64(), [2.0**60, -(2.0**53), None]),
        (pa.array([2**63 - 1]), pa.decimal128(38, 19), [Decimal(2**63 - 1)]),
        (pa.array([7, None]), pa.decimal128(38, 37), [Decimal(7), None]),
        (pa.array([2**64 - 1], pa.uint64()), pa.decimal128(38, 0), [Decimal(2**64 - 1)]),
        (pa.array([Decimal("1.5")]), pa.decimal128(38, 4), [Decimal("1.5")]),
        (pa.array([Decimal("1.5")], pa.decimal256(60, 1)), pa.decimal128(38, 1), [Decimal("1.5")]),
        (pa.array([Decimal(1500)], pa.decimal128(5, -2)), pa.decimal128(38, 0), [Decimal(1500)]),
        (pa.nulls(2), pa.struct([("x", pa.int64())]), [None, None]),
        (pa.array([{}, None], pa.struct([])), pa.struct([("x", pa.int64())]), [{"x": None}, None]),
        (
            pa.array([{"b": 1}, None]),
            pa.struct([("a", pa.string()), ("b", pa.float64())]),
            [{"a": None, "b": 1.0}, None],
        ),
        (pa.array([[], [None]], pa.list_(pa.null())), pa.list_(pa.string()), [[], [None]]),
        (pc.run_end_encode(pa.array(["a", "a", None])), pa.string(), ["a", "a", None]),
        (pa.array([b"ab"], pa.binary(2)), pa.binary(), [b"ab"]),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_a_wider_column_holds_the_same_values(array: pa.Array, target: pa.DataType, values: list[Any]) -> None:
    assert conformed(array, target).to_pylist() == values


@pytest.mark.parametrize(
    "type_",
    [
        pa.list_(pa.int8()),
        pa.large_list(pa.int8()),
        pa.list_view(pa.int8()),
        pa.large_list_view(pa.int8()),
        pa.list_(pa.dictionary(pa.int8(), pa.int8())),
    ],
    ids=str,
)
def test_every_list_layout_survives_slicing(type_: pa.DataType) -> None:
    array = pa.array([[9], [1, None], None, [], [2]], type_)[1:]
    assert conformed(array, pa.list_(pa.int64())).to_pylist() == [[1, None], None, [], [2]]


def test_fixed_size_lists_structs_and_maps_survive_slicing() -> None:
    fixed = pa.array([[8, 9], [1, 2], None, [3, 4]], pa.list_(pa.int8(), 2))[1:]
    assert conformed(fixed, pa.list_(pa.int64())).to_pylist() == [[1, 2], None, [3, 4]]
    struct = pa.array([{"x": 9}, {"x": 1}, None], pa.struct([("x", pa.int8())]))[1:]
    assert conformed(struct, pa.struct([("x", pa.int64())])).to_pylist() == [{"x": 1}, None]
    mapped = pa.array([[("z", 9)], [("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int8()))[1:]
    assert conformed(mapped, pa.map_(pa.string(), pa.int64())).to_pylist() == [[("a", 1), ("b", None)], None, []]


def test_what_lies_under_a_null_struct_is_no_concern() -> None:
    child = pa.array([2000, 1], pa.timestamp("ns"))
    struct = pa.StructArray.from_arrays([child], names=["t"], mask=pa.array([False, True]))
    assert conformed(struct, pa.struct([("t", TIMESTAMP)])).null_count == 1


@pytest.mark.parametrize(
    ("array", "target", "path", "value"),
    [
        (pa.array([1000, None, 1501, 7], pa.timestamp("ns")), TIMESTAMP, "v", "1970-01-01 00:00:00.000001501"),
        (pa.array([[1000], [1501]], pa.list_(pa.timestamp("ns"))), pa.list_(TIMESTAMP), "v[]", "00.000001501"),
        (pa.array([1, 2**60], pa.timestamp("s")), TIMESTAMP, "v", "1152921504606846976"),
        (pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32()), TIMESTAMP, "v", "2147483647"),
        (pa.array([2**60, 2**53 + 1]), pa.float64(), "v", "9007199254740993"),
        (pa.array([1, 10**18]), pa.decimal128(38, 30), "v", "1000000000000000000"),
        (pa.array([Decimal(10) ** 37, Decimal(10) ** 36]), pa.decimal128(38, 2), "v", "1"),
        (pa.array([Decimal("1.5"), Decimal("1.25")]), pa.decimal128(38, 1), "v", "1.25"),
        (pa.array([Decimal(10) ** 45], pa.decimal256(50, 2)), pa.decimal128(38, 2), "v", "10000000000"),
        (pa.array([{"x": 2**53 + 1}]), pa.struct([("x", pa.float64())]), "v.x", "9007199254740993"),
        (
            pa.array([[("k", 2**53 + 1)]], pa.map_(pa.string(), pa.int64())),
            pa.map_(pa.string(), pa.float64()),
            "v{value}",
            "993",
        ),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_a_value_that_would_change_is_refused_with_its_column(
    array: pa.Array, target: pa.DataType, path: str, value: str
) -> None:
    with pytest.raises(InvalidData, match=r"precision would be lost|is outside the years 0001 to 9999") as caught:
        conformed(array, target)
    assert repr(path) in str(caught.value)
    assert value in str(caught.value)
    assert caught.value.hint


FIRST, LAST = -719162, 2932896  # days: 0001-01-01 and 9999-12-31


@pytest.mark.parametrize("type_", [TIMESTAMP, TIMESTAMP_UTC], ids=str)
def test_the_years_1_to_9999_are_kept_to_the_last_microsecond(type_: pa.DataType) -> None:
    edges = pa.array([FIRST * DAY, None, (LAST + 1) * DAY - 1]).cast(type_)
    assert conformed(edges, type_).equals(pa.chunked_array([edges]))


@pytest.mark.parametrize("micros", [FIRST * DAY - 1, (LAST + 1) * DAY, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("type_", [TIMESTAMP, TIMESTAMP_UTC], ids=str)
def test_instants_that_no_reader_knows_are_refused(type_: pa.DataType, micros: int) -> None:
    with pytest.raises(InvalidData, match=r"'v', row 1: .*years 0001 to 9999"):
        conformed(pa.array([0, micros]).cast(type_), type_)


@pytest.mark.parametrize("day", [FIRST - 1, LAST + 1, 2**31 - 1, -(2**31)])
def test_days_that_no_reader_knows_are_refused(day: int) -> None:
    with pytest.raises(InvalidData, match="'v', row 1: "):
        conformed(pa.array([0, day], pa.int32()).cast(pa.date32()), pa.date32())


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda t: pa.array([[], [t]], pa.list_(TIMESTAMP)), "v[]"),
        (lambda t: pa.array([None, {"x": t}], pa.struct([("x", TIMESTAMP)])), "v.x"),
        (lambda t: pa.array([[("k", t)]], pa.map_(pa.string(), TIMESTAMP)), "v{value}"),
    ],
)
def test_nested_instants_are_checked_too(wrap: Any, path: str) -> None:
    array = wrap(2**62)
    with pytest.raises(InvalidData) as caught:
        conformed(array, array.type)
    assert repr(path) in str(caught.value)


def test_the_time_column_must_be_there_and_be_a_time() -> None:
    schema = pa.schema([("at", TIMESTAMP), ("v", pa.int64())])
    table = schema.empty_table()
    assert conform(table, schema, "at").equals(table)
    with pytest.raises(InvalidData, match="'when' is missing"):
        conform(table, schema, "when")
    with pytest.raises(InvalidData, match="'v' is of type int64"):
        conform(table, schema, "v")


def _optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


_AWARE = st.datetimes(timezones=st.just(UTC))
_COLUMNS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(allow_nan=False, width=32),
    pa.float64(): st.floats(allow_nan=False),
    pa.decimal128(12, 3): st.decimals(-(10**8), 10**8, places=3),
    pa.decimal256(60, 2): st.decimals(-(10**8), 10**8, places=2),
    pa.large_string(): st.text(st.characters(exclude_categories=["Cs"])),
    pa.string_view(): st.text(st.characters(exclude_categories=["Cs"])),
    pa.dictionary(pa.int32(), pa.string()): st.text("abc"),
    pa.binary_view(): st.binary(max_size=20),
    pa.date32(): st.dates(),
    pa.date64(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("ms", "Europe/Paris"): _AWARE.map(lambda at: at.replace(microsecond=0)),
}


@st.composite
def _tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 6))
    columns = {}
    for number, type_ in enumerate(draw(st.lists(st.sampled_from(list(_COLUMNS)), min_size=1, max_size=5))):
        leaf = _optional(_COLUMNS[type_])
        shape = draw(st.sampled_from(["plain", "list", "struct", "list of struct"]))
        columns[f"c{number}"] = _drawn(draw, leaf, type_, shape, rows)
    table = pa.table(columns)
    return table.slice(draw(st.integers(0, rows)))


def _drawn(draw: st.DrawFn, leaf: st.SearchStrategy[Any], type_: pa.DataType, shape: str, rows: int) -> pa.Array:
    for layer in reversed(shape.split(" of ")):
        if layer == "list":
            leaf, type_ = _optional(st.lists(leaf, max_size=3)), pa.large_list(type_)
        elif layer == "struct":
            leaf, type_ = _optional(st.fixed_dictionaries({"x": leaf})), pa.struct([("x", type_)])
    return pa.array(draw(st.lists(leaf, min_size=rows, max_size=rows)), type_)


@given(_tables())
def test_any_supported_table_keeps_its_values(table: pa.Table) -> None:
    schema = canonical_schema(table.schema)
    result = conform(table, schema, None)
    result.validate(full=True)
    assert result.schema.equals(schema)
    assert result.to_pylist() == table.to_pylist()
    assert conform(result, schema, None).equals(result)


@given(
    st.lists(st.fixed_dictionaries({}, optional={"at": _AWARE, "v": st.floats(allow_nan=False), "s": st.text("aé")}))
)
def test_rows_of_any_shape_keep_their_values(rows: list[dict[str, Any]]) -> None:
    rows = [{"n": 1}, *rows]
    table = read_arrow(rows)
    result = conform(table, canonical_schema(table.schema), None).to_pylist()
    assert [{name: value for name, value in row.items() if value is not None} for row in result] == rows


def test_local_and_universal_time_are_never_confused() -> None:
    aware = datetime(2013, 7, 1, 12, tzinfo=UTC)
    assert conformed(pa.array([aware]), TIMESTAMP_UTC).to_pylist() == [aware]
    assert conformed(pa.array([aware.replace(tzinfo=None)]), TIMESTAMP).to_pylist() == [aware.replace(tzinfo=None)]

"""Everything a producer may hold becomes a table, or an error that names what is wrong with it."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.normalize import read_arrow

AT = datetime(2013, 1, 1, 5, tzinfo=UTC)
TABLE = pa.table({"at": pa.array([AT, AT], pa.timestamp("us", "UTC")), "v": [1.5, None]})
ARROW = [
    TABLE,
    TABLE.to_batches()[0],
    TABLE.to_reader(),
    TABLE.to_struct_array().combine_chunks(),
    pl.DataFrame(TABLE),
    TABLE.to_pandas(),
]


@pytest.mark.parametrize("data", ARROW, ids=lambda data: type(data).__qualname__)
def test_arrow_data_of_any_library_is_read(data: object) -> None:
    table = read_arrow(data)
    assert table.column_names == ["at", "v"]
    assert table.column("at").to_pylist() == [AT, AT]
    assert table.column("v")[0].as_py() == 1.5


def test_a_duckdb_relation_is_read() -> None:
    with duckdb.connect() as connection:
        assert read_arrow(connection.sql("SELECT 1 AS a, 'x' AS b")).to_pylist() == [{"a": 1, "b": "x"}]


def test_row_numbers_of_a_pandas_frame_are_left_out() -> None:
    frame = pd.DataFrame({"v": range(5)})
    assert read_arrow(frame).column_names == ["v"]
    assert read_arrow(frame[frame.v.isin([0, 1, 4])]).column_names == ["v"]


def test_a_named_pandas_index_is_a_column() -> None:
    frame = pd.DataFrame({"v": [1, 2, 3]})
    by_time = frame.set_index(pd.DatetimeIndex(["2013-01-01", "2013-01-02", "2013-01-03"], name="at"))
    by_number = frame.set_index(pd.RangeIndex(10, 40, 10, name="sensor"))
    assert read_arrow(by_time).column_names == ["v", "at"]
    assert read_arrow(by_number).column("sensor").to_pylist() == [10, 20, 30]


@pytest.mark.parametrize("note", [b"no json", b"[]", b"{}"])
def test_a_foreign_note_under_the_pandas_key_does_no_harm(note: bytes) -> None:
    assert read_arrow(TABLE.replace_schema_metadata({b"pandas": note})).num_rows == 2


def test_a_slice_of_pandas_data_keeps_its_own_rows() -> None:
    batch = pa.RecordBatch.from_pandas(pd.DataFrame({"v": [1, 2]}, index=pd.RangeIndex(2, name="sensor")))
    assert read_arrow(batch.slice(1)).to_pylist() == [{"v": 2}]


def test_a_pandas_index_that_may_be_the_time_needs_a_name() -> None:
    frame = pd.DataFrame({"v": [1]}, index=pd.DatetimeIndex(["2013-01-01"]))
    with pytest.raises(InvalidData, match="timestamp") as caught:
        read_arrow(frame)
    assert "name" in caught.value.hint


def test_a_pandas_column_of_mixed_objects_is_refused() -> None:
    with pytest.raises(InvalidData, match="column 'a'"):
        read_arrow(pd.DataFrame({"a": [1, "x"]}))


@pytest.mark.parametrize("data", ["text", b"bytes", bytearray(b"b"), 5, None, object(), {"a": [1]}, pa.array([1])])
def test_what_is_no_collection_of_rows_is_refused_with_the_remedy(data: object) -> None:
    with pytest.raises(InvalidData) as caught:
        read_arrow(data)
    assert type(data).__qualname__ in str(caught.value)
    assert caught.value.hint


def test_one_row_instead_of_a_list_gets_told_to_wrap_it() -> None:
    with pytest.raises(InvalidData) as caught:
        read_arrow({"a": 1})
    assert "[row]" in caught.value.hint


def test_a_lazy_frame_of_polars_is_to_be_collected() -> None:
    with pytest.raises(InvalidData, match="LazyFrame") as caught:
        read_arrow(pl.LazyFrame({"a": [1]}))
    assert ".collect()" in caught.value.hint


def test_invalid_utf8_is_refused() -> None:
    offsets = pa.py_buffer(np.array([0, 2], np.int32))
    broken = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xff\xfe"))
    with pytest.raises(InvalidData, match="UTF8"):
        read_arrow(pa.table({"s": broken}))


def test_offsets_that_run_backwards_are_refused() -> None:
    offsets = pa.py_buffer(np.array([0, 1_000_000, 5], np.int32))
    broken = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"short"))
    with pytest.raises(InvalidData, match="malformed"):
        read_arrow(pa.table({"s": broken}))


def column(*values: Any) -> pa.ChunkedArray:
    return read_arrow([{"v": value} for value in values]).column("v")


def test_columns_are_the_union_of_all_rows_keys() -> None:
    rows = iter([{"a": 1}, OrderedDict(b="x"), {}, {"c": None, "a": 2}])
    table = read_arrow(rows)
    assert table.column_names == ["a", "b", "c"]
    assert table.column("a").to_pylist() == [1, None, None, 2]
    assert table.schema.field("c").type == pa.null()


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ((1, 2.5, None), pa.float64()),
        ((2.5, 1), pa.float64()),
        ((1, Decimal("1.25")), pa.decimal128(38, 2)),
        ((Decimal("1.5"), 2**62), pa.decimal128(38, 1)),
        ((10**37, Decimal("0.01")), pa.decimal256(76, 2)),
        ((True, None), pa.bool_()),
        ((b"a", None), pa.binary()),
        ((date(2013, 1, 1), None), pa.date32()),
        ((datetime(2013, 1, 1), None), pa.timestamp("us")),
        ((AT, None), pa.timestamp("us", "UTC")),
        ((2**63, -1), pa.decimal128(38, 0)),
        (([1, 2.5], []), pa.list_(pa.float64())),
        (((1,), None), pa.list_(pa.int64())),
        (({"x": 1}, {"y": "a"}), pa.struct([("x", pa.int64()), ("y", pa.string())])),
        ((np.int32(1), np.int64(2)), pa.int64()),
        ((pd.NaT, pd.Timestamp("2013-01-01")), pa.timestamp("us")),
        ((pd.NA, 1), pa.int64()),
    ],
    ids=str,
)
def test_python_values_become_the_type_that_holds_them_all(values: tuple[Any, ...], type_: pa.DataType) -> None:
    assert column(*values).type == type_


def test_nan_stays_nan_and_none_stays_null() -> None:
    first, second = column(float("nan"), None).to_pylist()
    assert first != first
    assert second is None


def test_instants_in_several_time_zones_stay_the_same_instants() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=9)))
    assert column(elsewhere, AT).to_pylist() == [AT, AT]


@pytest.mark.parametrize(
    ("values", "path", "row"),
    [
        ((1, "x"), "v", 1),
        ((1, None, True), "v", 2),
        ((1.5, False), "v", 1),
        (("a", b"a"), "v", 1),
        ((Decimal(1), 1.5), "v", 1),
        ((AT, AT.replace(tzinfo=None)), "v", 1),
        ((AT.replace(tzinfo=None), AT), "v", 1),
        ((AT.date(), AT), "v", 1),
        ((AT, AT.date()), "v", 1),
        (([1], 1), "v", 1),
        (([AT], [None, AT.replace(tzinfo=None)]), "v[]", 1),
        (({"x": 1}, {"x": "1"}), "v.x", 1),
        (({"x": [{"y": 1}]}, {"x": [{"y": b""}]}), "v.x[].y", 1),
        ((1, pd.Timestamp("2013-01-01T00:00:00.000000001")), "v", 1),
        ((0, 2**200), "v", 1),
        ((0.5, 2**53 + 1), "v", 1),
        (("a", "\ud800"), "v", 1),
        (("a", Ellipsis), "v", 1),
        ((Decimal(1), Decimal("NaN")), "v", 1),
    ],
    ids=repr,
)
def test_kinds_that_do_not_mix_are_refused_with_column_and_row(values: tuple[Any, ...], path: str, row: int) -> None:
    with pytest.raises(InvalidData) as caught:
        column(*values)
    assert repr(path) in str(caught.value)
    assert f"row {row}" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("value", "way_out"), [(Decimal("NaN"), "null"), (1j, "number, string"), (object(), "number, string")]
)
def test_a_value_of_no_kind_is_refused_with_a_way_out_of_its_own(value: Any, way_out: str) -> None:
    with pytest.raises(InvalidData) as caught:
        column(value)
    assert way_out in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("rows", "named"),
    [([], "no rows"), ([{}, {}], "keys"), ([{"a": 1}, 5], "row 1 is int"), ([["a"]], "row 0 is list"), ([{1: 2}], "1")],
)
def test_rows_that_are_none_are_refused(rows: list[Any], named: str) -> None:
    with pytest.raises(InvalidData, match=named):
        read_arrow(rows)

"""Frames of pandas, Polars and DuckDB: every column arrives as it is or is refused by its name."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import arro3.core
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.ingest.values.conform import conform
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import DEFAULT_POLICY
from timestore_pipeline.model.canonical import canonical_schema

ID = uuid.UUID(int=1)
AT = datetime(2026, 1, 1, tzinfo=UTC)
INT64 = pa.schema([("v", pa.int64())])


def staged(data: Any, known: pa.Schema | None = None) -> list[Any]:
    plain = interpret(read_arrow(data), DEFAULT_POLICY, known)
    values: list[Any] = conform(plain, known or canonical_schema(plain.schema), None).column("v").to_pylist()
    return values


def pandas(values: Any, dtype: Any = None) -> pd.DataFrame:
    return pd.DataFrame({"v": pd.Series(values, dtype=dtype)})


@pytest.mark.parametrize(
    ("frame", "values"),
    [
        (pandas([ID, None]), [str(ID), None]),
        (pandas([time(1), None]), [3_600_000_000, None]),
        (pandas(pd.to_timedelta(["1s", None])), [1_000_000, None]),
        (pandas(pd.Categorical([3, None])), [3, None]),
        (pandas(pd.Categorical(pd.to_datetime(["2026-01-01"]))), [datetime(2026, 1, 1)]),
        (pandas([1, None], "Int64"), [1, None]),
        (pandas([1, None], "int64[pyarrow]"), [1, None]),
        (pandas([time(1)], pd.ArrowDtype(pa.time64("us"))), [3_600_000_000]),
        (pandas([2**70, None], object), [Decimal(2**70), None]),
        (pandas(["a", float("nan"), pd.NA, pd.NaT], object), ["a", None, None, None]),
        (pandas([AT, pd.Timestamp(AT).tz_convert("Asia/Tokyo")], object), [AT, AT]),
        (pandas(pd.arrays.SparseArray([0, 7])), [0, 7]),
        (pandas([1.5, None]), [1.5, None]),
        (pandas([{"a": [ID]}, None]), [{"a": [str(ID)]}, None]),
    ],
    ids=str,
)
def test_columns_of_pandas_arrive_as_they_are(frame: pd.DataFrame, values: list[Any]) -> None:
    assert staged(frame) == values


def test_a_frame_of_a_derived_class_is_one() -> None:
    """As GeoPandas and others derive theirs."""
    own = type("OwnFrame", (pd.DataFrame,), {})
    assert staged(own({"v": [ID, None]})) == [str(ID), None]
    with pytest.raises(InvalidData, match="column 'v' has type complex128"):
        staged(own({"v": [1j]}))


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (pandas(pd.period_range("2026", periods=1, freq="M")), "'v' has type pandas.period"),
        (pandas(pd.cut([1, 2], 2)), "'v' has type pandas.interval"),
        (pandas([1 + 2j]), "'v' has type complex128"),
        (pandas(np.array([1], np.longdouble)), "'v' has type float128"),
        (pandas([pd.Timestamp(AT), pd.Timestamp("2026-01-01")], object), "'v', row 1"),
        (pandas([pd.Timestamp("2026-01-01T00:00:00.000000001")], object), "'v', row 0"),
        (pandas([1, "x"], object), "'v', row 1"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' is there twice"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "'1' is there twice"),
        (pd.DataFrame({("a", "b"): [1]}), "('a', 'b')"),
    ],
    ids=range(10),
)
def test_what_pandas_holds_and_no_dataset_can_is_refused_by_name(frame: pd.DataFrame, named: str) -> None:
    with pytest.raises(InvalidData) as caught:
        staged(frame)
    assert named in str(caught.value)
    assert caught.value.hint


def test_integers_with_a_gap_go_into_an_integer_column() -> None:
    assert staged(pandas([2, None]), INT64) == [2, None]


@pytest.mark.parametrize("values", [[2.5, None], [2.0**60, None], [float("inf")]])
def test_floats_that_are_no_integers_stay_floats(values: list[float | None]) -> None:
    plain = interpret(read_arrow(pandas(values)), DEFAULT_POLICY, INT64)
    assert plain.schema.field("v").type == pa.float64()


def test_nan_of_another_library_is_a_value_and_no_gap() -> None:
    plain = interpret(read_arrow(pl.DataFrame({"v": [2.0, float("nan")]})), DEFAULT_POLICY, INT64)
    assert plain.schema.field("v").type == pa.float64()


@pytest.mark.parametrize(
    ("series", "values"),
    [
        (pl.Series([5, None], dtype=pl.Int128), [Decimal(5), None]),
        (pl.Series([[5]], dtype=pl.List(pl.UInt128)), [[Decimal(5)]]),
        (pl.Series([[5, 6]], dtype=pl.Array(pl.Int128, 2)), [[Decimal(5), Decimal(6)]]),
        (pl.Series([{"x": 5}], dtype=pl.Struct({"x": pl.Int128})), [{"x": Decimal(5)}]),
        (pl.Series(["a", None], dtype=pl.Categorical), ["a", None]),
        (pl.Series([["a"]], dtype=pl.List(pl.Enum(["b", "a"]))), [["a"]]),
        (pl.Series([time(1)]), [3_600_000_000]),
        (pl.Series([timedelta(days=1)]), [86_400_000_000]),
    ],
    ids=str,
)
def test_columns_of_polars_arrive_as_they_are(series: pl.Series, values: list[Any]) -> None:
    assert staged(pl.DataFrame({"v": series})) == values


def test_a_time_that_python_has_not_may_stand_beside_a_large_integer() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    times = pl.Series("t", [last]).dt.convert_time_zone("Europe/Prague")  # there, it is in the year 10000
    frame = pl.DataFrame([times, pl.Series("n", [5], dtype=pl.Int128)]).select(v=pl.struct("t", "n").implode())
    assert staged(frame) == [[{"t": last, "n": Decimal(5)}]]


@pytest.mark.parametrize(
    ("series", "named"),
    [
        (pl.Series([object()], dtype=pl.Object), "'v' has type Object of Polars"),
        (pl.Series([1, 10**38], dtype=pl.Int128), f"'v', row 1: {10**38} was taken for decimal(38,0)"),
        (pl.Series([[1], [10**38]], dtype=pl.List(pl.Int128)), f"'v', row 1: {10**38} was taken for decimal(38,0)"),
        (pl.Series([1], dtype=pl.Duration("ns")), "'v', row 0"),
    ],
    ids=range(4),
)
def test_what_polars_holds_and_no_dataset_can_is_refused_by_name(series: pl.Series, named: str) -> None:
    with pytest.raises(InvalidData) as caught:
        staged(pl.DataFrame({"v": series}))
    assert named in str(caught.value)


_NUL = {"a\0b": [1]}
_NUL_INSIDE = [{"a\0b": 1}]


@pytest.mark.parametrize(
    "data",
    [
        pl.DataFrame(_NUL),
        pl.DataFrame({"v": _NUL_INSIDE}),
        pl.DataFrame({"v": [_NUL_INSIDE]}),
        pl.Series("v", _NUL_INSIDE),
        pl.Series("a\0b", [{"v": 1}]),
        arro3.core.Table({"a\0b": pa.array([1])}),
        duckdb.connect().query('SELECT 1 AS "a\0b"'),
        duckdb.connect().query("SELECT {'a\0b': 1} AS v"),
        pa.record_batch(_NUL),
        pa.table(_NUL).to_reader(),
        pa.array(_NUL_INSIDE),
        pa.chunked_array([_NUL_INSIDE]),
    ],
    ids=lambda data: type(data).__qualname__,
)
def test_a_name_that_no_export_can_carry_is_refused_before_it(data: Any) -> None:
    with pytest.raises(InvalidData, match=r"NUL|NulError"):
        staged(data)


def test_a_polars_series_of_structs_is_a_frame() -> None:
    assert staged(pl.Series([{"v": 5}], dtype=pl.Struct({"v": pl.Int128}))) == [Decimal(5)]


@pytest.fixture(params=[False, True], ids=["lossy", "lossless"])
def select(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    """A relation with one column, exported with DuckDB's names for its types and without."""
    with duckdb.connect() as connection:
        connection.execute(f"SET arrow_lossless_conversion = {request.param}")
        yield lambda value: connection.sql(f"SELECT {value} AS v")


HUGE = 2**127 - 1


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("(-5)::HUGEINT", Decimal(-5)),
        ("5::UHUGEINT", Decimal(5)),
        ("[5::HUGEINT]", [Decimal(5)]),
        (f"'{ID}'::UUID", str(ID)),
        ("TIME '01:00:00'", 3_600_000_000),
        ("'a'::ENUM('b', 'a')", "a"),
        ("true", True),
        ("[1, 2]::INT[2]", [1, 2]),
    ],
)
def test_columns_of_duckdb_arrive_as_they_are(select: Callable[[str], Any], sql: str, value: Any) -> None:
    assert staged(select(sql)) == [value]


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        (f"{HUGE}::HUGEINT", f"'v', row 0: {HUGE} "),
        (f"{2**128 - 1}::UHUGEINT", f"'v', row 0: {2**128 - 1} "),
        (f"[{HUGE}::HUGEINT]", str(HUGE)),
        ("[5::UHUGEINT]", "'v[]' has type UHUGEINT"),
        ("'101'::BIT", "'v' has type BIT"),
        ("['101'::BIT]", "'v[]' has type BIT"),
        ("{'a': '01:02:03+01'::TIMETZ}", "'v.a' has type TIME WITH TIME ZONE"),
        ("MAP {'k': '1'::BIT}", "'v{value}' has type BIT"),
        ("INTERVAL 1 DAY", "'v' has type month_day_nano_interval"),
        ("123::BIGNUM", "'v' has type BIGNUM"),
        ("union_value(a := 1)", "'v' has type sparse_union"),
        ("'{}'::VARIANT", "'v' has type arrow.parquet.variant"),
        ("'POINT(0 0)'::GEOMETRY", "'v' has type geoarrow.wkb"),
        ("TIME '24:00:00'", "'v', row 0"),
        ("TIMESTAMP 'infinity'", "'v', row 0"),
        ("error('boom')", "boom"),
    ],
)
def test_what_duckdb_holds_and_no_dataset_can_is_refused_by_name(
    select: Callable[[str], Any], sql: str, named: str
) -> None:
    with pytest.raises(InvalidData) as caught:
        staged(select(sql))
    assert named in str(caught.value)
    assert "UTF-8" not in caught.value.hint


DAY_AND_TIME = [date(2026, 1, 1), datetime(2026, 1, 1, 5)]


def categories(values: list[Any]) -> pd.Categorical:
    return pd.Categorical.from_codes(range(len(values)), categories=pd.Index(values, dtype=object))


def named(values: Any) -> pd.DataFrame:
    return pd.DataFrame({"w": range(len(values))}, index=pd.Index(values, name="v"))


@pytest.mark.parametrize(
    "data",
    [
        named(pd.Index(DAY_AND_TIME, dtype=object)),
        named(pd.CategoricalIndex(categories(DAY_AND_TIME))),
        pd.DataFrame({"w": [1, 2]}, index=pd.MultiIndex.from_arrays([DAY_AND_TIME, [1, 2]], names=["v", "x"])),
        pandas(categories(DAY_AND_TIME)),
        pandas([np.array([value], object) for value in DAY_AND_TIME], object),
        [{"v": {"a": value}.values()} for value in DAY_AND_TIME],
    ],
    ids=["an index", "an index of categories", "an index of two levels", "categories", "arrays", "values of a dict"],
)
def test_objects_are_examined_one_by_one_wherever_they_stand(data: Any) -> None:
    """Arrow itself would take the day of the second for all of it."""
    with pytest.raises(InvalidData, match=r"row 1: datetime.datetime\(2026, 1, 1, 5, 0\) was taken for date"):
        staged(data)


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (named([ID, None]), [str(ID), None]),
        (named(pd.Index([2**70, 1], dtype=object)), [Decimal(2**70), Decimal(1)]),
        (pandas(categories([2**70, 1])), [Decimal(2**70), Decimal(1)]),
        (pandas(categories(["a", "b"])), ["a", "b"]),
        ([{"v": np.array([[1, 2], [3, 4]])}], [[[1, 2], [3, 4]]]),
        ([{"v": np.array([1])}, {"v": [2**64]}], [[Decimal(1)], [Decimal(2**64)]]),
        ([{"v": pa.scalar([("a", 1)], pa.map_(pa.string(), pa.int64()))}], [[("a", 1)]]),
    ],
    ids=str,
)
def test_objects_in_an_index_in_categories_and_in_arrays_are_kept(data: Any, values: list[Any]) -> None:
    assert staged(data) == values


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_integers_with_a_gap_go_into_their_column_whatever_floats_pandas_made_of_them(dtype: str) -> None:
    assert staged(pandas([1, None], dtype), INT64) == [1, None]


def test_an_interval_is_no_list_of_its_parts() -> None:
    with pytest.raises(InvalidData, match="month_day_nano_interval"):
        staged([{"v": pa.MonthDayNano([1, 2, 3])}])


class Nowhere(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, _: datetime | None) -> str:
        return "nowhere"


def test_a_time_whose_zone_has_no_offset_is_a_local_one_as_in_python() -> None:
    assert staged([{"v": datetime(2026, 1, 1, 5, tzinfo=Nowhere())}]) == [datetime(2026, 1, 1, 5)]
    with pytest.raises(InvalidData, match=r"row 1: .* was taken for datetime without time zone"):
        staged([{"v": datetime(2026, 1, 1, tzinfo=Nowhere())}, {"v": AT}])

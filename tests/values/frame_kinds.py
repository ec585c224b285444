"""What the columns of pandas and Polars frames hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

from tests.values.arrow_kinds import BYTES, FLOATS, TEXTS, decimals, integers
from tests.values.kinds import Kind, Plain, each, fields_of, moments, of_date, of_time, refused, reused
from tests.values.plain import Day, Instant, LocalTime, Span

_UNITS = {"ms": 1_000_000, "us": 1_000, "ns": 1}
_FIRST_DATE_IN_NS, _LAST_DATE_IN_NS = -(2**63) + 10**14, 2**63 - 10**14  # pandas has its last days before the ends
_DAY_NS = 86_400_000_000_000
_CATEGORIES = ["a", "007", "", "é", 'x"y', "2026-01-01"]


def _nan_is_missing(value: float) -> float | None:
    """As pandas has it."""
    return None if math.isnan(value) else value


def _series(dtype: Any) -> Any:
    return lambda values: pd.Series(values, dtype=dtype)


def _times(unit: str, zone: str | None) -> Kind:
    def make(values: list[Any]) -> pd.Series:
        counts = np.array([np.iinfo(np.int64).min if v is None else v for v in values], "int64")
        series = pd.Series(counts.view(f"datetime64[{unit}]"))
        return series if zone is None else series.dt.tz_localize("UTC").dt.tz_convert(zone)

    ns = _UNITS[unit]
    values = moments(ns, _FIRST_DATE_IN_NS, _LAST_DATE_IN_NS)
    return Kind(
        f"datetime64[{unit}, {zone}]", values, plain=lambda n: (Instant if zone else LocalTime)(n * ns), make=make
    )


def _lengths(unit: str) -> Kind:
    ns = _UNITS[unit]
    values = st.integers(-(10**6), 10**6).map(lambda n: n * (1_000 if unit == "ns" else 1))

    def make(counts: list[Any]) -> pd.Series:
        there = np.array([np.iinfo(np.int64).min if v is None else v for v in counts], "int64")
        return pd.Series(there.view(f"timedelta64[{unit}]"))

    return Kind(f"timedelta64[{unit}]", values, plain=lambda n: Span(n * ns), make=make)


PANDAS = [
    Kind("int64 with gaps", st.integers(-(2**53), 2**53), make=_series("float64")),
    Kind("Int64", integers(64), make=_series("Int64")),
    Kind("UInt8", integers(8, signed=False), make=_series("UInt8")),
    Kind("float64", FLOATS, plain=_nan_is_missing, make=_series("float64")),
    Kind("Float32", st.floats(width=32, allow_nan=False), make=_series("Float32")),
    Kind("boolean", st.booleans(), make=_series("boolean")),
    Kind("object text", TEXTS, make=_series("object")),
    Kind("string", TEXTS, make=_series("string")),
    Kind("object bytes", BYTES, make=_series("object")),
    Kind("object decimal", decimals(20, 4), make=_series("object")),
    Kind("object date", st.dates(), plain=of_date, make=_series("object")),
    Kind("object time", st.times(), plain=of_time, make=_series("object")),
    Kind("object uuid", st.uuids(), plain=str, make=_series("object"), taken=False),
    Kind("object list", st.lists(st.integers(0, 9), max_size=2), make=_series("object"), taken=False),
    Kind("category", st.sampled_from(_CATEGORIES), make=lambda v: pd.Series(pd.Categorical(v, _CATEGORIES))),
    Kind("category of ints", st.integers(0, 9), make=lambda v: pd.Series(pd.Categorical(v, list(range(10))))),
    Kind("arrow text", TEXTS, make=lambda v: pd.Series(v, dtype=pd.ArrowDtype(pa.string_view()))),
    Kind(
        "period", st.just(pd.Period("2026-01", "M")), plain=refused("a period"), make=_series("period[M]"), taken=False
    ),
    Kind("interval", st.just(pd.Interval(0, 1)), plain=refused("an interval"), make=_series("interval"), taken=False),
    Kind("complex", st.just(1j), plain=refused("a complex number"), make=_series("complex128"), taken=False),
    Kind("object path", st.just(Path("/x")), plain=refused("a path"), make=_series("object"), taken=False),
    Kind("object mixed", st.one_of(st.integers(0, 9), st.text(max_size=2)), make=_series("object"), taken=False),
    *(_times(unit, zone) for unit in _UNITS for zone in (None, "UTC", "Europe/Prague")),
    *(_lengths(unit) for unit in _UNITS),
]


def _polars(dtype: Any, values: st.SearchStrategy[Any], plain: Plain = lambda value: value, taken: bool = True) -> Kind:
    return Kind(str(dtype), values, dtype, plain, taken)


def _stamps(unit: str, zone: str | None) -> Kind:
    ns = _UNITS[unit]
    kind = Instant if zone else LocalTime
    return _polars(pl.Datetime(unit, zone), moments(ns), lambda n: kind(n * ns))  # type: ignore[arg-type]


def _durations(unit: str) -> Kind:
    ns = _UNITS[unit]
    return _polars(pl.Duration(unit), st.integers(-(10**6), 10**6), lambda n: Span(n * ns))  # type: ignore[arg-type]


POLARS = [
    _polars(pl.Boolean(), st.booleans()),
    *(_polars(getattr(pl, f"Int{bits}")(), integers(bits)) for bits in (8, 16, 32, 64)),
    *(_polars(getattr(pl, f"UInt{bits}")(), integers(bits, signed=False)) for bits in (8, 16, 32, 64)),
    _polars(pl.Int128(), st.integers(-(10**38) + 1, 10**38 - 1)),
    _polars(pl.Int128(), st.just(2**127 - 1), refused("39 digits"), taken=False),
    _polars(pl.Float32(), st.floats(width=32)),
    _polars(pl.Float64(), FLOATS),
    _polars(pl.Decimal(20, 4), decimals(20, 4)),
    _polars(pl.String(), TEXTS),
    _polars(pl.Binary(), BYTES),
    _polars(pl.Categorical(), st.sampled_from(_CATEGORIES)),
    _polars(pl.Enum(_CATEGORIES), st.sampled_from(_CATEGORIES)),
    _polars(pl.Date(), moments(_DAY_NS), Day),
    _polars(pl.Time(), st.times(), of_time),
    *(_stamps(unit, zone) for unit in _UNITS for zone in (None, "UTC", "Europe/Prague")),
    *(_durations(unit) for unit in _UNITS),
    _polars(pl.Null(), st.none()),
]
POINTERS = Kind("Object", st.just(Path("/x")), pl.Object(), refused("a Python object"), taken=False)


def polars_series(kind: Kind, values: list[Any]) -> pl.Series:
    """Counts of time are given as numbers, which a cast turns into times, nested ones too."""
    if isinstance(kind.type, pl.Object):
        return pl.Series(values, dtype=pl.Object)
    return pl.Series(values, dtype=_as_numbers(kind.type)).cast(kind.type)


def _as_numbers(dtype: Any) -> Any:
    if isinstance(dtype, (pl.Datetime, pl.Duration)):
        return pl.Int64()
    if isinstance(dtype, pl.Date):
        return pl.Int32()
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_as_numbers(dtype.inner))
    if isinstance(dtype, pl.Array):
        return pl.Array(_as_numbers(dtype.inner), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _as_numbers(field.dtype) for field in dtype.fields})
    return dtype


def _nested(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    fields = st.dictionaries(st.sampled_from(["a", "b c", "é"]), inner, min_size=1, max_size=3)
    return st.one_of(inner.map(_list), inner.map(_array), fields.map(_struct))


def _list(inner: Kind) -> Kind:
    return Kind(
        f"list of {inner.name}", st.lists(inner.or_null, max_size=3), pl.List(inner.type), each(inner), inner.taken
    )


def _array(inner: Kind) -> Kind:
    values = st.lists(inner.or_null, min_size=2, max_size=2)
    return Kind(f"array of {inner.name}", values, pl.Array(inner.type, 2), each(inner), inner.taken)


def _struct(fields: dict[str, Kind]) -> Kind:
    values = st.fixed_dictionaries({name: kind.or_null for name, kind in fields.items()})
    dtype = pl.Struct({name: kind.type for name, kind in fields.items()})
    plain = fields_of(fields)
    return Kind(str(dtype), values, dtype, plain, all(kind.taken for kind in fields.values()))


@reused
def polars_kinds() -> st.SearchStrategy[Kind]:
    flat = st.sampled_from(POLARS)
    return st.one_of(flat, flat, flat, st.recursive(flat, _nested, max_leaves=3), st.just(POINTERS))

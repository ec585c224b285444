"""What a producer in Python may put into a row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from tests.values.arrow_kinds import BYTES, FLOATS, TEXTS, decimals, integers
from tests.values.kinds import (
    Kind,
    each,
    fields_of,
    moments,
    of_date,
    of_datetime,
    of_time,
    of_timedelta,
    refused,
    reused,
)
from tests.values.plain import Instant, LocalTime, Span

_ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-3))])
_LATE, _EARLY = datetime(9999, 12, 30), datetime(1, 1, 2)  # so that no zone moves them out of the years


class _Colour(StrEnum):
    RED = "red"


def _stamps() -> st.SearchStrategy[pd.Timestamp]:
    """With nanoseconds, which only pandas has."""
    in_range = moments(1, 0, 4_000_000_000_000_000_000)
    return in_range.map(lambda ns: pd.Timestamp(ns, unit="ns", tz="UTC"))


def _of_numpy(value: np.datetime64) -> Any:
    return LocalTime(int(value.astype("int64")))


def _of_length(value: pd.Timedelta) -> Any:
    return Span(value.value)


AWARE = Kind("datetime with zone", st.datetimes(_EARLY, _LATE, timezones=_ZONES), plain=of_datetime)
LEAVES = [
    Kind("bool", st.booleans()),
    Kind("int", integers(64)),
    Kind("float", FLOATS),
    Kind("str", TEXTS),
    Kind("bytes", BYTES),
    Kind("decimal", decimals(20, 4)),
    Kind("date", st.dates(), plain=of_date),
    AWARE,
    Kind("datetime without zone", st.datetimes(), plain=of_datetime),
    Kind("time", st.times(), plain=of_time),
    Kind("timedelta", st.timedeltas(timedelta(days=-30_000), timedelta(days=30_000)), plain=of_timedelta),
    Kind("uuid", st.uuids(), plain=str),
]
ODD = [
    Kind("big int", st.integers(-(10**38) + 1, 10**38 - 1)),
    Kind("huge int", st.integers(10**38, 10**45), plain=refused("39 digits"), taken=False),
    Kind("int and float", st.one_of(st.integers(-(2**60), 2**60), st.floats(-10, 10)), taken=False),
    Kind("int and decimal", st.one_of(integers(64), decimals(10, 2)), taken=False),
    Kind(
        "any decimal",
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20),
        taken=False,
    ),
    Kind("mixed", st.one_of(st.integers(0, 9), st.text(max_size=2), st.booleans()), taken=False),
    Kind("numpy int", st.integers(-99, 99).map(np.int32), plain=int, taken=False),
    Kind("numpy float", st.floats(width=32).map(np.float32), plain=float, taken=False),
    Kind("numpy time", moments(1, 0).map(lambda ns: np.datetime64(ns, "ns")), plain=_of_numpy, taken=False),
    Kind("pandas time", _stamps(), plain=lambda v: Instant(v.value), taken=False),
    Kind(
        "pandas length",
        st.integers(0, 10**6).map(lambda ns: pd.Timedelta(ns, "ns")),
        plain=_of_length,
        taken=False,
    ),
    Kind("enum", st.just(_Colour.RED), plain=str, taken=False),
    Kind("bytearray", BYTES.map(bytearray), plain=bytes, taken=False),
    Kind("path", st.just(Path("/x")), plain=refused("a path"), taken=False),
    Kind("complex", st.just(1j), plain=refused("a complex number"), taken=False),
    Kind("time with zone", st.just(time(1, 2, tzinfo=UTC)), plain=refused("a time of day with a zone"), taken=False),
    Kind("null", st.none()),
]


def lists(inner: Kind, of: Callable[[list[Any]], Any] = list) -> Kind:
    return Kind(
        f"{of.__name__} of {inner.name}",
        st.lists(inner.or_null, max_size=3).map(of),
        plain=each(inner),
        taken=inner.taken,
    )


def objects(fields: dict[str, Kind]) -> Kind:
    """Any of the fields may be missing, all of them too."""
    values = st.fixed_dictionaries({}, optional={name: kind.or_null for name, kind in fields.items()})
    name = f"dict of {', '.join(f'{name}: {kind.name}' for name, kind in fields.items())}"
    return Kind(name, values, plain=fields_of(fields), taken=all(kind.taken for kind in fields.values()))


def _nested(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    fields = st.dictionaries(st.sampled_from(["a", "b", "c d", "é"]), inner, min_size=1, max_size=3)
    return st.one_of(inner.map(lists), inner.map(lambda kind: lists(kind, tuple)), fields.map(objects))


@reused
def kinds() -> st.SearchStrategy[Kind]:
    flat = st.one_of(st.sampled_from(LEAVES), st.sampled_from([*LEAVES, *ODD]))
    return st.one_of(flat, flat, st.recursive(flat, _nested, max_leaves=4))

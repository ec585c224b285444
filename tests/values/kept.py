"""Inputs that once were altered, lost, refused without need or met with an untyped error: each is tried for ever.

What comes back is compared as in the search; `REFUSED` stands for rows that must not get in.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from tests.values.bench import Example, Step
from tests.values.kinds import Batch
from tests.values.plain import Day, Fraction, Instant, Local, LocalTime, Pairs, Policy, Span
from tests.values.readers import ROW
from tests.values.sources import File
from tests.values.text import Cell, Number, Text

REFUSED = object()
_LOCAL = datetime(2026, 1, 1, 10)
_LOCAL_NS = 1_767_261_600_000_000_000
_ID = uuid.UUID(int=1)
_LAST = pl.lit(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)).dt.convert_time_zone("Europe/Prague")  # 10000, there
_BIG = Number("18446744073709551615")


def one(payload: Any, *expected: Any, column: str = "v", door: str = "") -> Example:
    """A batch of one column beside the rows' numbers, and what must come back; one `REFUSED`: it must not get in."""
    return Example((_step(payload, 0, expected, column, door),))


def _step(payload: Any, first: int, expected: tuple[Any, ...], column: str, door: str = "") -> Step:
    refused = REFUSED in expected
    rows = [{ROW: first + n, column: None if refused else value} for n, value in enumerate(expected)]
    batch = Batch(payload, rows, True, f"{payload!r}", malformed=refused)
    return Step(batch, door or ("ingest" if isinstance(payload, File) else "enqueue"))


def or_refused(example: Example) -> Example:
    """The product may also refuse it by name."""
    steps = [replace(step, batch=replace(step.batch, taken=False)) for step in example.steps if step.batch]
    return replace(example, steps=tuple(steps))


def several(*steps: tuple[Any, ...] | None) -> Example:
    """Batches in turn, the rows numbered on: what is sent, and what comes back for each row; None = a flush."""
    found, first = list[Step](), 0
    for step in steps:
        found.append(Step() if step is None else _step(step[0], first, step[1:], "v"))
        first += 0 if step is None else len(step) - 1
    return Example(tuple(found))


def table(values: pa.Array) -> pa.Table:
    return pa.table({ROW: pa.array(range(len(values)), pa.int64()), "v": values})


def listed(*values: Any, first: int = 0) -> list[dict[str, Any]]:
    return [{ROW: first + n, "v": value} for n, value in enumerate(values)]


def cells(*texts: str, quoted: bool = False, first: int = 0) -> File:
    lines = [f'{first + n},"{text}"' if quoted else f"{first + n},{text}" for n, text in enumerate(texts)]
    return File("\n".join([f"{ROW},v", *lines, ""]).encode(), ".csv")


def cell(text: str, *, quoted: bool = False) -> Example:
    """A file of this one cell, through every reading."""
    return one(cells(text, quoted=quoted), Cell(text, quoted))


_CONNECTION = duckdb.connect(config={"threads": 1})  # the default one is that of every other test as well


def lines(*texts: str, suffix: str = ".ndjson", first: int = 0) -> File:
    objects = [f'{{"{ROW}": {first + n}, "v": {text}}}' for n, text in enumerate(texts)]
    content = "\n".join(objects) if suffix == ".ndjson" else f"[{', '.join(objects)}]"
    return File(content.encode(), suffix)


def sql(expression: str) -> Any:
    return _CONNECTION.query(f"SELECT 0 AS {ROW}, {expression} AS v")


def with_policy(example: Example, policy: Policy) -> Example:
    return Example(example.steps, policy, example.metadata)


_LOCAL_MAP = table(pa.array([[("opened", _LOCAL)]], pa.map_(pa.string(), pa.timestamp("us"))))
_OPAQUE = pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "thing", "vendor"), pa.array([b"\1"]))
_LAST_OF_A_DAY = pa.array([86_399_999_999_900], pa.time64("ns"))
_VIEWS = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array([b"x" * 20], pa.binary_view()))

_CELLS = [
    "01234",
    "12e4567",
    "1E400",
    "Infinity",
    "Nan",
    "NA",
    "-0",
    "+5",
    "1_000",
    "0x1f",
    " 5",
    "2026-02-30",
    "9" * 25,
    "0.10000000000000000555",
    "29.11.2026 10:00",
    "1.50",
    "true",
    "2026-01-01",
]

KEPT: dict[str, Example] = {
    "a local time in a map": one(_LOCAL_MAP, Pairs((("opened", LocalTime(_LOCAL_NS)),))),
    "a local time in a map, taken for UTC": with_policy(
        one(_LOCAL_MAP, Pairs((("opened", LocalTime(_LOCAL_NS)),))), Policy(local=Local.UTC)
    ),
    "a local time where none is taken": with_policy(one(_LOCAL_MAP, REFUSED), Policy(local=Local.REFUSE)),
    "a Polars categorical": one(pl.DataFrame({ROW: [0], "v": pl.Series(["a"], dtype=pl.Categorical)}), "a"),
    "a Polars enum in a list": one(
        pl.DataFrame({ROW: [0], "v": pl.Series([["a"]], dtype=pl.List(pl.Enum(["a"])))}), ["a"]
    ),
    "a dictionary of binary views": one(table(_VIEWS), b"x" * 20),
    "a Python object in a Polars frame": one(
        pl.DataFrame({ROW: [0], "v": pl.Series([Path("/x")], dtype=pl.Object)}), REFUSED
    ),
    "an opaque extension type": one(table(_OPAQUE), REFUSED),
    "a pandas period": one(pd.DataFrame({ROW: [0], "v": pd.Series([pd.Period("2026-01", "M")])}), REFUSED),
    "a pandas interval": one(pd.DataFrame({ROW: [0], "v": pd.Series([pd.Interval(0, 1)])}), REFUSED),
    "an interval of DuckDB": one(sql("INTERVAL 1 MONTH"), REFUSED),
    "bits": one(sql("'0101'::BIT"), REFUSED),
    "a number of 39 digits": one(sql("170141183460469231731687303715884105727::HUGEINT"), REFUSED),
    "a number of 38 digits": one(sql("10000000000000000000000000000000000000::HUGEINT"), 10**37),
    "a Polars Int128": one(pl.DataFrame({ROW: [0], "v": pl.Series([5], dtype=pl.Int128)}), 5),
    "a Polars Int128 beside the last time": one(
        pl.select(pl.lit(0).alias(ROW), pl.struct(t=_LAST, n=pl.lit(5, pl.Int128)).implode().alias("v")),
        [{"t": Instant(253_402_300_799_000_000_000), "n": 5}],
    ),
    "no map in a list": one(sql("[NULL::MAP(BOOLEAN, HUGEINT)]"), [None]),
    "an empty list of maps": one(table(pa.array([[]], pa.list_(pa.map_(pa.int64(), pa.string())))), []),
    "a quote in text": one(listed('5" pipe'), '5" pipe'),
    "a quote in a cell": one(File(f'{ROW},v\n0,"5"" pipe"\n'.encode(), ".csv"), Cell('5" pipe', quoted=True)),
    "microseconds": one(listed(datetime(2026, 1, 1, 10, 0, 0, 1, UTC)), Instant(_LOCAL_NS + 1_000)),
    "NUL in a name of Polars": one(pl.DataFrame({ROW: [0], "v\0w": [1]}), REFUSED),
    "NUL in a name of a batch": one(pa.record_batch({ROW: [0], "v\0w": [1]}), REFUSED),
    "a name of 300 letters": one(pa.table({ROW: [0], "x" * 300: [7]}), 7, column="x" * 300),
    "lists of no values": one(table(pa.array([[], None], pa.list_(pa.int8(), 0))), [], None),
    "arrays of no values of Polars": one(
        pl.DataFrame({ROW: [0], "v": pl.Series([[]], dtype=pl.Array(pl.String, 0))}), []
    ),
    "a dictionary of nothing": one(table(pa.array([None, None]).dictionary_encode()), None, None),
    "an index of pandas with the name of a column": one(
        pd.DataFrame({ROW: [0], "v": [1]}, index=pd.Index([7], name="v")), REFUSED
    ),
    "half of a surrogate pair in a name": one([{ROW: 0, "v\ud800": 1}], REFUSED),
    "half of a surrogate pair in a name inside": one(listed({"a\ud800": 1}), REFUSED),
    "integers of numpy beside a large one": one(listed(np.int8(1), 2**70), 1, 2**70),
    "an offset of seconds": one(
        listed(datetime(1970, 1, 1, tzinfo=timezone(timedelta(seconds=90)))), Instant(-90 * 10**9)
    ),
    "an offset of microseconds": one(
        listed(datetime(1970, 1, 1, tzinfo=timezone(timedelta(microseconds=5))), pd.Timestamp(0, tz="UTC")),
        Instant(-5_000),
        Instant(0),
    ),
    "an offset of a zone's first years": one(
        listed(datetime(1900, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam"))), Instant(-2_208_989_972 * 10**9)
    ),
    "an ID of Python": one(listed(_ID), str(_ID)),
    "an ID of DuckDB": one(sql(f"'{_ID}'::UUID"), str(_ID)),
    "an ID of Arrow": one(
        table(pa.ExtensionArray.from_storage(pa.uuid(), pa.array([_ID.bytes], pa.binary(16)))), str(_ID)
    ),
    "a time of day": one(listed(time(1, 2, 3)), Span(3_723_000_000_000)),
    "a length": one(listed(timedelta(seconds=90)), Span(90_000_000_000)),
    "an empty list": one(listed([]), []),
    "an empty list beside none": one(listed([], None), [], None),
    "an object without fields": one(listed({}), {}),
    "an object with nothing in it": one(listed({"code": None}), {"code": None}),
    "nothing at all": one(listed(None), None),
    "integers beside decimals": one(listed(Decimal("1.5"), 2**62), Decimal("1.5"), 2**62),
    "integers beside decimals in objects": one(
        listed({"a": 10**18}, {"a": Decimal("0.05")}), {"a": 10**18}, {"a": Decimal("0.05")}
    ),
    "the last bit of a float": one(
        listed(0.1 + 0.2, -0.0, float("nan"), 5e-324), 0.1 + 0.2, -0.0, float("nan"), 5e-324
    ),
    **{f"the cell {text}": cell(text) for text in _CELLS},
    "leading zeros below a number": one(cells("10001", "01234"), Cell("10001"), Cell("01234")),
    "NA beside a name": one(cells("NA", "DE"), Cell("NA"), Cell("DE")),
    "a quoted empty cell": one(cells("", quoted=True), Cell("", quoted=True)),
    "a quoted empty cell below a number": one(
        File(f'{ROW},v\n0,5\n1,""\n'.encode(), ".csv"), Cell("5"), Cell("", quoted=True)
    ),
    "an open quote": one(File(f'{ROW},v\n0,"abc\n1,x\n'.encode(), ".csv"), REFUSED),
    "a line with too few cells": one(File(f"{ROW},v,w\n0,1\n".encode(), ".csv"), REFUSED),
    "a line with too many cells": one(File(f"{ROW},v\n0,1,2\n".encode(), ".csv"), REFUSED),
    "another encoding": one(File(f"{ROW},v\n0,caf\xe9\n".encode("latin-1"), ".csv"), REFUSED),
    "a big integer in an object": or_refused(one(lines('{"id": 18446744073709551615}'), {"id": _BIG})),
    "a big integer in an array": or_refused(one(lines('{"id": 18446744073709551615}', suffix=".json"), {"id": _BIG})),
    "NaN in JSON": one(lines("0", "NaN"), REFUSED),
    "a field twice": one(lines('{"a": 1, "a": 2}'), REFUSED),
    "a string like a date": one(lines('"2026-01-01"'), Text("2026-01-01")),
    "an empty string": one(lines('""'), Text("")),
    "a file without rows": or_refused(one(File(f"{ROW},v\n".encode(), ".csv"))),  # a server has no receipt for it
    "nanoseconds": one(table(pa.array([1_500], pa.timestamp("ns", "UTC"))), REFUSED),
    "nanoseconds, rounded": with_policy(
        one(table(pa.array([1_500, 2_500], pa.timestamp("ns", "UTC"))), Instant(1_500), Instant(2_500)),
        Policy(Fraction.ROUND),
    ),
    "nanoseconds before 1970, cut off": with_policy(
        one(table(pa.array([-1], pa.timestamp("ns", "UTC"))), Instant(-1)), Policy(Fraction.TRUNCATE)
    ),
    "the last time of a day, rounded": with_policy(one(table(_LAST_OF_A_DAY), REFUSED), Policy(Fraction.ROUND)),
    "the last time of a day, truncated": with_policy(
        one(table(_LAST_OF_A_DAY), Span(86_399_999_999_000)), Policy(Fraction.TRUNCATE)
    ),
    "seven digits, rounded": with_policy(
        one(cells("2026-01-01T00:00:00.1234567Z"), Instant(1_767_225_600_123_456_700)), Policy(Fraction.ROUND)
    ),
    "whole numbers first": several((listed(14), 14), (listed(14.5, first=1), 14.5)),
    "whole numbers first, in CSV": several((cells("14"), 14), (cells("14.5", first=1), 14.5)),
    "an integer with a gap": several(
        (pd.DataFrame({ROW: [0], "v": [1]}), 1), None, (pd.DataFrame({ROW: [1, 2], "v": [2, None]}), 2, None)
    ),
    "days, then times": several(
        (listed(date(2026, 1, 1)), Day(20_454)),
        (listed(datetime(2026, 1, 1, 1, tzinfo=UTC), first=1), Instant(1_767_229_200_000_000_000)),
    ),
    "more decimal places later": several(
        (listed(Decimal("1.5")), Decimal("1.5")), (listed(Decimal("1.25"), first=1), Decimal("1.25"))
    ),
    "an object that grows": several((listed({"a": 1}), {"a": 1}), None, (listed({"b": "x"}, first=1), {"b": "x"})),
    "an empty list, then numbers": several((listed([]), []), (listed([1], first=1), [1])),
    "a list, then an empty cell": several((listed([1]), [1]), (cells("", first=1), Cell(""))),
    "an object without fields, then one with": several((listed({}), {}), (listed({"a": 1}, first=1), {"a": 1})),
    "text, then digits in CSV": several((cells("K12"), "K12"), (cells("0012", first=1), "0012")),
    "text, then a date in JSON": several((lines('"hello"'), "hello"), (lines('"2026-01-01"', first=1), "2026-01-01")),
    "a date in JSON, then text": several((lines('"2026-01-01"'), "2026-01-01"), (lines('"hello"', first=1), "hello")),
}

"""Batches as each source library holds them: random columns of random kinds, under random names."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tests.values import arrow_kinds, frame_kinds, python_kinds, sql_kinds
from tests.values.kinds import Batch, Column, Kind, of_datetime, reused
from tests.values.plain import Instant
from tests.values.readers import ROW

NAMES = st.one_of(
    st.sampled_from(["v", "w"]),
    st.sampled_from(["v", "w"]),
    st.sampled_from(
        [
            "a b",
            " x",
            "a.b",
            "a`b",
            'a"b',
            "a;b",
            "a=b",
            "a/b",
            "a%20b",
            "é",
            "e\u0301",
            "😀",
            "select",
            "$1",
            "x" * 300,
            "Row",
            "AT",
            "key",
            "a'b",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
)
DAYS = st.integers(-3, 40).map(lambda day: 1_767_225_600_000_000 + day * 86_400_000_000)  # around 2026, in microseconds
_CONNECTION = duckdb.connect(config={"threads": 1})


@dataclass(frozen=True, slots=True)
class File:
    """What is sent as bytes."""

    content: bytes
    suffix: str


@reused
@st.composite
def columns(draw: st.DrawFn, kinds: st.SearchStrategy[Kind], at: Kind, names: st.SearchStrategy[str]) -> list[Column]:
    """One to three columns beside the time, which may be missing, of one to four rows."""
    rows = draw(st.integers(1, 4))
    chosen = draw(st.lists(names, min_size=1, max_size=3, unique_by=str.casefold))
    found = [Column(name, kind := draw(kinds), _values(draw, kind, rows)) for name in chosen]
    if draw(st.integers(0, 9)) and "at" not in {name.casefold() for name in chosen}:
        found.insert(draw(st.integers(0, 1)), Column("at", at, _values(draw, at, rows)))
    return found


def _values(draw: st.DrawFn, kind: Kind, rows: int) -> list[Any]:
    return draw(st.lists(kind.or_null, min_size=rows, max_size=rows))


def batch_of(found: list[Column], first: int, payload: Any) -> Batch:
    rows = len(found[0].values)
    expected = zip(*(column.expected for column in found), strict=True)
    names = [column.name for column in found]
    numbered = [{**dict(zip(names, row, strict=True)), ROW: first + n} for n, row in enumerate(expected)]
    assert len(numbered) == rows
    taken = all(column.kind.taken for column in found) and can_be_columns(names)
    return Batch(payload, numbered, taken, f"{type(payload).__name__} of {[(c.name, c.kind.name) for c in found]}")


def can_be_columns(names: list[str]) -> bool:
    """Whether no name is one that the documents reserve or refuse."""
    folded = [name.casefold() for name in [*names, ROW]]
    reserved = {"partition_date", "partition_hour", "partition_month"}
    odd = any("\0" in name or not name or name in reserved or name.startswith("__timestore") for name in folded)
    return not odd and len(set(folded)) == len(folded)


def _numbers(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


AT_ARROW = arrow_kinds._leaf(pa.timestamp("us", "UTC"), DAYS, lambda n: Instant(n * 1_000))
AT_ROWS = Kind("datetime", DAYS.map(lambda n: datetime.fromtimestamp(n // 1_000_000, UTC)), plain=of_datetime)
_PANDAS = st.sampled_from(frame_kinds.PANDAS)
AT_PANDAS = Kind("datetime", DAYS, plain=lambda n: Instant(n * 1_000),
                 make=lambda values: pd.Series(pd.to_datetime(values, unit="us", utc=True)))  # fmt: skip
AT_POLARS = Kind("datetime", DAYS, pl.Datetime("us", "UTC"), lambda n: Instant(n * 1_000))
AT_SQL = Kind("datetime", AT_ROWS.values.map(lambda v: sql_kinds.Literal(f"'{v.isoformat()}'", of_datetime(v))),
              "TIMESTAMPTZ", lambda literal: literal.plain)  # fmt: skip

Batches = Callable[[int, st.SearchStrategy[str]], st.SearchStrategy[Batch]]  # first row, names


@reused
@st.composite
def rows(draw: st.DrawFn, first: int, names: st.SearchStrategy[str] = NAMES) -> Batch:
    """Mappings; a null may be left out."""
    found = draw(columns(python_kinds.kinds(), AT_ROWS, names))
    leave_out = draw(st.booleans())
    count = len(found[0].values)
    payload = [{ROW: first + n, **dict(_cells(found, n, leave_out=leave_out))} for n in range(count)]
    return batch_of(found, first, payload)


def _cells(found: list[Column], number: int, *, leave_out: bool) -> Iterator[tuple[str, Any]]:
    for column in found:
        if column.values[number] is not None or not leave_out:
            yield column.name, column.values[number]


@reused
@st.composite
def arrow(draw: st.DrawFn, first: int, names: st.SearchStrategy[str] = NAMES) -> Batch:
    """A table in memory or in a file, its columns in one piece or several, some of them lying behind other values."""
    found = draw(columns(arrow_kinds.kinds(), AT_ARROW, names))
    arrays = [_array(column, sliced=draw(st.booleans())) for column in found]
    numbers = pa.array(_numbers(first, len(arrays[0])), pa.int64())
    table = pa.Table.from_arrays([numbers, *arrays], [ROW, *(column.name for column in found)])
    if draw(st.booleans()):
        table = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    return batch_of(found, first, draw(st.sampled_from([_same, _parquet, _ipc_file, _ipc_stream]))(table))


def _array(column: Column, *, sliced: bool) -> pa.Array:
    array = arrow_kinds.made(column.kind, column.values)
    if not sliced or pa.types.is_union(array.type) or "run_ends" in column.kind.name or "uuid" in str(array.type):
        return array
    try:
        return arrow_kinds.sliced(array, arrow_kinds.made(column.kind, [None, *column.values]))
    except pa.ArrowException:
        return array  # Arrow cannot concatenate every layout


def _same(table: pa.Table) -> pa.Table:
    return table


def _parquet(table: pa.Table) -> Any:
    sink = io.BytesIO()
    try:
        pq.write_table(table, sink)
        written = pq.read_table(io.BytesIO(sink.getvalue())).schema
    except (pa.ArrowException, OSError):
        return table  # Parquet has no such type
    lost = str(written).count("duration") < str(table.schema).count(
        "duration"
    )  # Arrow forgets it in dictionaries in maps
    return table if lost else File(sink.getvalue(), ".parquet")


def _ipc_file(table: pa.Table) -> File:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return File(sink.getvalue(), ".arrow")


def _ipc_stream(table: pa.Table) -> File:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return File(sink.getvalue(), ".arrows")


@reused
@st.composite
def pandas(draw: st.DrawFn, first: int, names: st.SearchStrategy[str] = NAMES) -> Batch:
    found = draw(columns(_PANDAS, AT_PANDAS, names))
    series = {column.name: arrow_kinds.made(column.kind, column.values) for column in found}
    frame = pd.DataFrame({ROW: _numbers(first, len(found[0].values)), **series})
    return batch_of(found, first, frame)


@reused
@st.composite
def polars(draw: st.DrawFn, first: int, names: st.SearchStrategy[str] = NAMES) -> Batch:
    found = draw(columns(frame_kinds.polars_kinds(), AT_POLARS, names))
    series = [frame_kinds.polars_series(column.kind, column.values).alias(column.name) for column in found]
    numbers = pl.Series(ROW, _numbers(first, len(found[0].values)))
    return batch_of(found, first, pl.DataFrame([numbers, *series]))


@reused
@st.composite
def sql(draw: st.DrawFn, first: int, names: st.SearchStrategy[str] = NAMES) -> Batch:
    found = draw(columns(sql_kinds.kinds(), AT_SQL, _selectable(names)))
    numbers = [sql_kinds.Literal(str(n), n) for n in _numbers(first, len(found[0].values))]
    cells = {ROW: ("BIGINT", numbers), **{column.name: (column.kind.type, column.values) for column in found}}
    return batch_of(found, first, sql_kinds.relation(_CONNECTION, cells))


@reused
def _selectable(names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return names.filter(_can_be_selected)


def _can_be_selected(name: str) -> bool:
    """SQL does not tell names apart by case."""
    return "\0" not in name and name.casefold() != ROW


LIBRARIES: dict[str, Batches] = {"rows": rows, "arrow": arrow, "pandas": pandas, "polars": polars, "duckdb": sql}

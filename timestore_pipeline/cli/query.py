"""`timestore query`: SQL over published and staged rows."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from functools import singledispatch
from typing import Annotated, Any
from uuid import UUID

import pyarrow as pa
import typer

from timestore_pipeline.cli.output import FAILED, AsJson, json_text, print_error, print_note, print_table
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.query.statement import QueryAnswer
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore, read_published

_SHOWN = 1000  # rows of a table that a person gets; JSON has all


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL")],
    published_only: Annotated[
        bool, typer.Option("--published-only", help="Leave staged rows out; works without the staging directory.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run SQL over published and staged rows, each exactly once.

    The dialect is DuckDB's; each dataset is a view under its name, with the partition column. A name with '-' or '.'
    needs double quotes: SELECT count(*) FROM "weather-hourly". Instants are in UTC. Every row that was acknowledged
    before is there; what cannot be read is said on standard error. One statement that reads; it reaches nothing else.

    \b
    Examples:
      timestore query "SELECT station, avg(wind) FROM weather GROUP BY station"
      timestore query --published-only --json "FROM weather LIMIT 10"
    """
    with _opened(sql, published_only) as answer:
        for note in answer.notes:
            print_note(f"warning: {note}", "yellow")
        if as_json:
            _print_json(answer.rows)
        else:
            _print(answer.rows)


@contextmanager
def _opened(sql: str, published_only: bool) -> Iterator[QueryAnswer]:
    if published_only:
        with read_published(Settings.from_env(), sql) as answer:
            yield answer
    else:
        with _open_staged() as store, store.query(sql) as answer:
            yield answer


def _open_staged() -> Timestore:
    try:
        return open_store()
    except TimestoreError as error:
        error.hint = "; ".join(
            filter(None, (error.hint, "--published-only reads the lake without a staging directory"))
        )
        raise


def _print_json(rows: pa.RecordBatchReader) -> None:
    """An array, row by row. If reading fails half-way, the array is not closed, so that no parser accepts it."""
    mark = "["
    try:
        for row in _rows(rows):
            print(mark, json_text(dict(zip(rows.schema.names, row, strict=True))), sep="", end="")
            mark = ",\n "
    except TimestoreError as error:
        if mark == "[":
            raise
        print_error(error, as_json=False)
        raise typer.Exit(FAILED) from error
    print("[]" if mark == "[" else "]")


def _rows(reader: pa.RecordBatchReader) -> Iterator[list[Any]]:
    for batch in reader:
        columns = [column.to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            yield [plain(value) for value in row]


def _print(rows: pa.RecordBatchReader) -> None:
    if not rows.schema.names:
        return
    numbers = [field.name for field in rows.schema if _is_number(field.type)]
    cells = [[_cell(value) for value in row] for row, _ in zip(_rows(rows), range(_SHOWN + 1), strict=False)]
    print_table(rows.schema.names, cells[:_SHOWN], numbers=numbers)
    if len(cells) > _SHOWN:
        print_note(f"the first {_SHOWN:,} rows are shown; --json prints all")


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@singledispatch
def plain(value: Any) -> Any:
    """A value of the result as a JSON value: none is refused, none is silently rounded.

    Text, whole numbers, booleans and NULL stay what they are.
    """
    return value


@plain.register
def _(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None


@plain.register(date)
@plain.register(time)
def _(value: date | time) -> str:
    """ISO 8601; an instant is a date, too."""
    return value.isoformat()


@plain.register(Decimal)
@plain.register(UUID)
def _(value: Decimal | UUID) -> str:
    """A decimal as text keeps its digits."""
    return str(value)


@plain.register
def _(value: timedelta) -> float:
    """Seconds."""
    return value.total_seconds()


@plain.register(pa.MonthDayNano)
def _(value: Any) -> str:
    """An interval, as an ISO 8601 duration."""
    return f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:g}S"


@plain.register
def _(value: bytes) -> str:
    """Base64."""
    return base64.b64encode(value).decode()


@plain.register
def _(value: dict) -> dict[str, Any]:  # type: ignore[type-arg]  # singledispatch takes plain classes
    return {str(key): plain(inner) for key, inner in value.items()}


@plain.register
def _(value: list) -> list[Any]:  # type: ignore[type-arg]
    return [plain(inner) for inner in value]

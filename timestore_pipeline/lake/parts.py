"""Rows in the order of a table's partitions, cut into them, with the statistics that DuckDB would return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa

from timestore_pipeline.lake.stats import ColumnStatistics
from timestore_pipeline.model.sql_types import quote

_ROWS = "__timestore_rows"


@dataclass(frozen=True, slots=True)
class Part:
    """One partition's rows, in order."""

    value: date  # of the partition; a datetime if the partition is an hour
    rows: pa.Table
    statistics: ColumnStatistics


def parts(con: duckdb.DuckDBPyConnection, rows: pa.Table, value_sql: str) -> Iterator[Part]:
    """Cut rows that are in the order of `value_sql`, an expression over a row that is never null.

    One aggregation for all parts: a query for each of thousands of parts would take longer than writing its file.
    """
    columns = [field for field in rows.schema if not pa.types.is_nested(field.type)]
    wanted = ", ".join(sql for field in columns for sql in _aggregates(field))
    con.register(_ROWS, rows)
    found = con.execute(
        f"SELECT {value_sql} AS part, count(*), {wanted or 'NULL'} FROM {_ROWS} GROUP BY part ORDER BY part"
    ).fetchall()
    con.unregister(_ROWS)
    first = 0
    for value, count, *aggregates in found:
        yield Part(value, rows.slice(first, count), _statistics(columns, count, aggregates))
        first += count


def _aggregates(field: pa.Field) -> Iterator[str]:
    """SQL for the count of non-null values, the smallest and largest as text, and whether there is a NaN."""
    column = quote(field.name)
    yield f"count({column})"
    if pa.types.is_binary(field.type):
        yield from ("NULL", "NULL")
    else:
        yield from (f"min({column})::VARCHAR", f"max({column})::VARCHAR")
    yield f"coalesce(bool_or(isnan({column})), false)" if pa.types.is_floating(field.type) else "false"


def _statistics(columns: list[pa.Field], rows: int, aggregates: list[object]) -> ColumnStatistics:
    """In the form of COPY's RETURN_STATS."""
    found = {}
    for position, field in enumerate(columns):
        present, low, high, has_nan = aggregates[4 * position : 4 * position + 4]
        bounds = {} if low is None else {"min": str(low), "max": str(high)}
        exact = dict.fromkeys(("min_is_exact", "max_is_exact"), "true") if bounds else {}
        nulls = {"null_count": str(rows - int(str(present))), "has_nan": str(has_nan).lower()}
        found[quote(field.name)] = {**bounds, **exact, **nulls}
    return found

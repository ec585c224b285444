"""`timestore query`: SQL over the published rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import typer

from timestore_pipeline.cli.output import AsJson, print_json, print_note, print_table
from timestore_pipeline.cli.plain_values import plain
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.errors import InvalidQuery
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.staging.engine import open_engine

_SHOWN = 1000  # rows of a table that a person gets; JSON has all


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL")],
    as_json: AsJson = False,
) -> None:
    """Run SQL over the published rows.

    The dialect is DuckDB's; each dataset with a table is a view under its name. A name with '-' or '.' needs double
    quotes: SELECT count(*) FROM "weather-hourly". The views have the partition column too. Instants are in UTC.

    \b
    Example:
      timestore query "SELECT origin, avg(temp) FROM weather GROUP BY origin"
    """
    with open_store() as store:
        rows = run_query(store.lake, sql)
    if as_json:
        print_json([dict(zip(rows.column_names, row, strict=True)) for row in _rows(rows)])
    else:
        _print(rows)


def run_query(lake: Lake, sql: str) -> pa.Table:
    """The result, its columns renamed where two have one name; raises `InvalidQuery`."""
    datasets = lake.datasets()
    with open_engine() as connection:
        for dataset in datasets:
            if dataset in sql.lower():  # opening a table costs tens of milliseconds
                connection.register(dataset, lake.table(dataset).to_arrow_dataset())
        try:
            relation = connection.sql(sql)
            result = pa.table({}) if relation is None else relation.to_arrow_table()
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            hint = f"published datasets: {', '.join(datasets) or 'none'}; names with '-' or '.' need double quotes"
            raise InvalidQuery(f"query refused: {error}", hint=hint) from error
    return result.rename_columns(_distinct(result.column_names))


def _distinct(names: Sequence[str]) -> list[str]:
    """A JSON object has each name once; the second `n` becomes `n_2`."""
    taken: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.append(candidate)
    return taken


def _rows(table: pa.Table) -> Iterator[list[Any]]:
    for batch in table.to_batches():
        columns = [column.to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            yield [plain(value) for value in row]


def _print(rows: pa.Table) -> None:
    if not rows.column_names:
        return
    numbers = [field.name for field in rows.schema if _is_number(field.type)]
    cells = [[_cell(value) for value in row] for row in _rows(rows.slice(0, _SHOWN))]
    print_table(rows.column_names, cells, numbers=numbers)
    if rows.num_rows > _SHOWN:
        print_note(f"{_SHOWN:,} of {rows.num_rows:,} rows are shown; --json prints all")


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

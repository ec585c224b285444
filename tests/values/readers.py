"""A published table as three independent readers see it: deltalake's DataFusion, Polars, and DuckDB over the files.

Nothing of the product is used. Rows are told apart by the number in their column `row`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from tests.values.plain import Broken, Day, Instant, LocalTime, Pairs

ROW = "row"  # the column that numbers the rows of a dataset
_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_CONNECTION = duckdb.connect(config={"threads": 1})
_PARTITIONS = {"partition_date", "partition_hour", "partition_month"}

Rows = dict[int, dict[str, Any]]  # row number -> column -> value


Numbered = list[tuple[int, dict[str, Any]]]
Reader = Callable[[DeltaTable], Numbered]


def read_everywhere(uri: str, readers: dict[str, Reader]) -> dict[str, Rows]:
    """What each reader finds in the table, by the reader's name."""
    table = DeltaTable(uri)
    return {name: _read(name, read, table) for name, read in readers.items()}


def _read(name: str, read: Reader, table: DeltaTable) -> Rows:
    try:
        rows = read(table)
    except Exception as error:
        raise Broken(f"{name} cannot read the table: {type(error).__name__}: {error}") from error
    numbers = [number for number, _ in rows]
    if len(set(numbers)) < len(numbers):
        raise Broken(f"{name} sees a row more than once: {sorted(numbers)}")
    return dict(rows)


def plain_values(array: pa.Array | pa.ChunkedArray) -> list[Any]:
    """An Arrow array's values in the kinds of `tests.values.plain`."""
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in plain_values(chunk)]
    t, type_ = pa.types, array.type
    if t.is_dictionary(type_):
        return plain_values(array.dictionary_decode())
    if t.is_struct(type_):
        children = [plain_values(child) for child in array.flatten()]
        rows = zip(*children, strict=True) if children else [()] * len(array)
        names = [field.name for field in type_]
        return _masked(array, [dict(zip(names, row, strict=True)) for row in rows])
    if t.is_map(type_):
        return [None if not item.is_valid else _pairs(item.values) for item in array]
    if t.is_nested(type_):
        return [None if not item.is_valid else plain_values(item.values) for item in array]
    if t.is_timestamp(type_):
        kind = LocalTime if type_.tz is None else Instant
        return [None if n is None else kind(n * _NANOSECONDS[type_.unit]) for n in array.cast(pa.int64()).to_pylist()]
    if t.is_date32(type_):
        return [None if days is None else Day(days) for days in array.cast(pa.int32()).to_pylist()]
    values: list[Any] = array.to_pylist()
    return values


def _masked(array: pa.Array, values: list[Any]) -> list[Any]:
    return [value if valid else None for value, valid in zip(values, array.is_valid().to_pylist(), strict=True)]


def _pairs(entries: pa.StructArray) -> Pairs:
    keys, items = (plain_values(child) for child in entries.flatten())
    return Pairs(tuple(zip(keys, items, strict=True)))


def _by_row(table: pa.Table) -> Numbered:
    names = [name for name in table.column_names if name not in _PARTITIONS]
    columns = [plain_values(table.column(name)) for name in names]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return [(row.get(ROW, -1), row) for row in rows]


def _datafusion(table: DeltaTable) -> Numbered:
    return _by_row(pa.table(QueryBuilder().register("t", table).execute("SELECT * FROM t")))


def _polars(table: DeltaTable) -> Numbered:
    return _by_row(pl.scan_delta(table).collect().to_arrow())


def _duckdb(table: DeltaTable) -> Numbered:
    """File by file: a column that a file lacks was added later and is null there."""
    rows: Numbered = []
    for uri in table.file_uris():
        path = _escaped(uri.removeprefix("file://"))
        rows += _by_row(_CONNECTION.read_parquet(path, hive_partitioning=False).to_arrow_table())
    return rows


def _deltalake(table: DeltaTable) -> Numbered:
    return _by_row(table.to_pyarrow_table())


def _escaped(path: str) -> str:
    """Not a pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


READERS: dict[str, Reader] = {"datafusion": _datafusion, "polars": _polars, "duckdb": _duckdb}
ALL_READERS = READERS | {"deltalake": _deltalake}

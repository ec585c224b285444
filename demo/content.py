"""One hash for the content of a table: equal for the same rows in any order, different for any other rows.

Every row is written as a JSON object of texts with its columns in order of name, the lines are sorted, and SHA-256 runs
over them. Text keeps it exact and independent of how Arrow lays out chunks, validity bits and dictionaries: a float is
written in the shortest form that reads back as the same float; null differs from the empty text, 1 from "1".
A row that is missing, doubled or changed in one bit changes the hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import duckdb
import pyarrow as pa

PARTITION_COLUMNS = ("partition_date", "partition_hour")  # derived from the time column, so not content


def content_hash(table: pa.Table, *, without: Collection[str] = PARTITION_COLUMNS) -> str:
    """64 hexadecimal digits; `without` names columns that do not count."""
    digest = hashlib.sha256()
    with duckdb.connect() as connection:
        _load(connection, "content", table, without)
        for chunk in connection.sql("FROM content ORDER BY line").to_arrow_reader():
            digest.update("".join(f"{line}\n" for line in chunk["line"].to_pylist()).encode())
    return digest.hexdigest()


def surplus(table: pa.Table, other: pa.Table, *, most: int = 3) -> tuple[int, list[str]]:
    """How many rows `table` has that `other` has not, doubles counted, and the first of them as JSON."""
    with duckdb.connect() as connection:
        _load(connection, "content", table)
        _load(connection, "other", other)
        more = connection.sql("FROM content EXCEPT ALL FROM other").order("line").fetchall()
    return len(more), [line for (line,) in more[:most]]


def _load(
    connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table, without: Collection[str] = PARTITION_COLUMNS
) -> None:
    """A table of one column, `line`, with each row as canonical JSON."""
    fields = sorted((field for field in table.schema if field.name not in without), key=lambda field: str(field.name))
    row = ", ".join(_canonical(field) for field in fields)
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("rows", pa.RecordBatchReader.from_batches(table.schema, table.to_batches()))
    connection.execute(f"CREATE TABLE {name} AS SELECT to_json({{{row}}})::VARCHAR AS line FROM rows")
    connection.unregister("rows")


def _canonical(field: pa.Field) -> str:
    kind, duckdb_type = _canonical_type(field.type)
    column = '"' + field.name.replace('"', '""') + '"'
    key = f"{field.name} {kind}".replace('"', '""')
    return f'"{key}": {column}::{duckdb_type}::VARCHAR'


def _canonical_type(kind: pa.DataType) -> tuple[str, str]:
    """A lake may widen integers and floats and store any text as large text: the value counts, not the width."""
    if pa.types.is_integer(kind):
        return "integer", "HUGEINT"
    if pa.types.is_floating(kind):
        return "float", "DOUBLE"
    if pa.types.is_timestamp(kind):
        return ("instant", "TIMESTAMPTZ") if kind.tz else ("local time", "TIMESTAMP")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text", "VARCHAR"
    return str(kind), "VARCHAR"

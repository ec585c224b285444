"""One `SELECT` becomes one durable Parquet file, or many. A crash leaves at most temporaries that readers ignore."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from timestore_pipeline.lake.faults import disk_full, not_written
from timestore_pipeline.lake.stats import ColumnStatistics
from timestore_pipeline.lake.store import FileStore
from timestore_pipeline.model.sql_types import literal, quote
from timestore_pipeline.model.thresholds import ParquetOptions
from timestore_pipeline.system.durable import is_disk_full

_WORTH_A_DICTIONARY = 100  # rows
_WORTH_A_THREAD = 1000  # rows of a file: with fewer, threads spend their time waiting for the interpreter
_ARROW_NAMES = {"uncompressed": "none"}  # of codecs that DuckDB names otherwise
NOTE_KEY = "timestore"  # in the footer of a file with the origins of its rows

_ROWS = "__timestore_rows"


@dataclass(frozen=True, slots=True)
class ParquetFile:
    rows: int
    bytes: int
    schema: pa.Schema  # read back from the file
    column_statistics: ColumnStatistics


def write_parquet(
    con: duckdb.DuckDBPyConnection,
    select_sql: str,
    store: FileStore,
    relative: str,
    options: ParquetOptions | None = None,
    note: str = "",
) -> ParquetFile:
    """Run `select_sql` on `con` into the file `relative`; its ORDER BY holds inside the file.

    note: text that the footer keeps under `NOTE_KEY`; empty = none.

    Raise `DiskFull`, or `RetryLater` when an upload or the disk fails; DuckDB's own errors pass through. After an error
    there is no file under `relative`.
    """
    with _translated(relative), store.receiving(relative) as path:
        statement = _copy(select_sql, str(path), options or ParquetOptions(), note)
        _, rows, size, _, statistics, *_ = con.sql(statement).fetchall()[0]
        return ParquetFile(rows, size, pq.read_schema(path), statistics)


def write_parquets(
    parts: Mapping[str, pa.Table], store: FileStore, options: ParquetOptions | None = None
) -> dict[str, int]:
    """Many small files, relative path -> rows: written side by side, flushed to disk together; all of them or none.

    By Arrow, because a COPY costs milliseconds however few its rows, and a COPY with PARTITION_BY does not keep the
    order of rows, not even on one thread in DuckDB 2.0. Return the bytes of each; raise as `write_parquet` does.
    """
    write = partial(_write_each, options or ParquetOptions())
    rows = sum(part.num_rows for part in parts.values())
    many = os.cpu_count() or 1 if rows >= _WORTH_A_THREAD * len(parts) else 1
    with _translated(next(iter(parts))), store.workshop() as folder, ThreadPoolExecutor(many) as threads:
        paths = {relative: f"{folder}/{number}.parquet" for number, relative in enumerate(parts)}
        targets = [(relative, paths[relative], rows) for relative, rows in parts.items()]
        sizes: dict[str, int] = {}
        for written in threads.map(write, (targets[first::many] for first in range(many))):
            sizes |= written
        store.receive_all(paths)
    return sizes


def _write_each(options: ParquetOptions, targets: Sequence[tuple[str, str, pa.Table]]) -> dict[str, int]:
    """targets: relative path, path, rows. Return the bytes of each."""
    return {relative: Path(path).write_bytes(_encoded(rows, options)) for relative, path, rows in targets}


def _encoded(rows: pa.Table, options: ParquetOptions) -> pa.Buffer:
    """Without Arrow's own schema in the footer, as DuckDB writes it."""
    content = pa.BufferOutputStream()
    pq.write_table(
        rows,
        content,
        row_group_size=options.row_group_size,
        compression=_ARROW_NAMES.get(options.compression, options.compression),
        compression_level=options.compression_level or None,
        store_schema=False,
        use_dictionary=rows.num_rows >= _WORTH_A_DICTIONARY,
    )
    return content.getvalue()


@contextmanager
def _translated(relative: str) -> Iterator[None]:
    try:
        yield
    except duckdb.DataError:
        raise  # it may quote a value, and a value may contain the words of a full disk
    except (duckdb.Error, OSError) as error:
        if is_disk_full(error):
            raise disk_full(relative, error) from error
        if isinstance(error, OSError):
            raise not_written(relative, error) from error
        raise


def read_note(root: fs.FileSystem, path: str) -> str:
    """The note that `write_parquet` put into a file's footer; empty = none. Raise `OSError` or an Arrow error."""
    with root.open_input_file(path) as stream:
        found: dict[bytes, bytes] = pq.read_metadata(stream).metadata or {}
    return found.get(NOTE_KEY.encode(), b"").decode()


def _copy(select_sql: str, path: str, options: ParquetOptions, note: str = "") -> str:
    settings = f"FORMAT parquet, COMPRESSION {options.compression}, ROW_GROUP_SIZE {options.row_group_size}"
    if options.compression_level:
        settings += f", COMPRESSION_LEVEL {options.compression_level}"
    if note:
        settings += f", KV_METADATA {{{NOTE_KEY}: {literal(note)}}}"
    return f"COPY ({select_sql}) TO {literal(path)} ({settings}, RETURN_STATS)"


def parquet_problem(root: fs.FileSystem, path: str, rows: int | None, *, deep: bool) -> str:
    """How a file differs from the published one; empty = not at all. rows: the table's count, None = unknown."""
    try:
        with root.open_input_file(path) as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
            found = file.metadata.num_rows
            for batch in file.iter_batches() if deep else ():
                batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"cannot be read: {error}"
    return "" if rows is None or rows == found else f"holds {found} rows, the table lists it with {rows}"


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

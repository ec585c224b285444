"""One `SELECT` becomes one durable Parquet file. A crash leaves at most a temporary that no reader looks at."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from timestore_pipeline.lake.faults import disk_full, is_disk_full, not_written
from timestore_pipeline.lake.stats import ColumnStatistics
from timestore_pipeline.lake.store import FileStore
from timestore_pipeline.model.sql_types import literal

NOTE_KEY = "timestore"  # in the footer of a file that says where its rows come from


@dataclass(frozen=True, slots=True)
class ParquetOptions:
    compression: str = "zstd"
    row_group_size: int = 122_880  # rows; DuckDB's own unit, the grain of pruning inside a file


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

    Raise `DiskFull`, or `RetryLater` when an upload or the disk fails; DuckDB's own errors pass through. In every case
    nothing stays under `relative`.
    """
    try:
        with store.receiving(relative) as path:
            statement = _copy(select_sql, str(path), options or ParquetOptions(), note)
            _, rows, size, _, statistics, *_ = con.sql(statement).fetchall()[0]
            schema = pq.read_schema(path)
    except duckdb.DataError:
        raise  # it may quote a value, and a value can say anything
    except (duckdb.Error, OSError) as error:
        if is_disk_full(error):
            raise disk_full(relative, error) from error
        if isinstance(error, OSError):
            raise not_written(relative, error) from error
        raise
    return ParquetFile(rows, size, schema, statistics)


def read_note(root: fs.FileSystem, path: str) -> str:
    """What `write_parquet` left in a file's footer; empty = nothing. Raise `OSError` or an Arrow error."""
    with root.open_input_file(path) as stream:
        found: dict[bytes, bytes] = pq.read_metadata(stream).metadata or {}
    return found.get(NOTE_KEY.encode(), b"").decode()


def _copy(select_sql: str, path: str, options: ParquetOptions, note: str) -> str:
    settings = f"FORMAT parquet, COMPRESSION {options.compression}, ROW_GROUP_SIZE {options.row_group_size}"
    if note:
        settings += f", KV_METADATA {{{NOTE_KEY}: {literal(note)}}}"
    return f"COPY ({select_sql}) TO {literal(path)} ({settings}, RETURN_STATS)"


def parquet_problem(root: fs.FileSystem, path: str, rows: int | None, *, deep: bool) -> str:
    """Why a file is not what was published; empty = nothing is wrong. rows: as the table has them, None = unknown."""
    try:
        with root.open_input_file(path) as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
            found = file.metadata.num_rows
            for batch in file.iter_batches() if deep else ():
                batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"cannot be read: {error}"
    return "" if rows is None or rows == found else f"holds {found} rows, the table has it with {rows}"

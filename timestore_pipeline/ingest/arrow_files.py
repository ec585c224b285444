"""Files that carry their own schema: Parquet, and Arrow IPC in its file and stream forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_AT_ONCE = 65_536
_BYTES_AT_ONCE = 16 << 20  # decoded at once: rows can be wide
_BUFFER_BYTES = 1 << 20  # read at once of a column; without it a row group's columns are held as they lie on disk
_FILE_MAGIC = b"ARROW1"


def open_parquet(path: Path) -> tuple[int, Callable[[], Iterator[pa.Table]]]:
    """Row count from the footer, and a reader that holds one row group's pages at most."""
    with pq.ParquetFile(path) as file:
        return file.metadata.num_rows, lambda: _parquet_tables(path)


def open_ipc(path: Path) -> tuple[int | None, Callable[[], Iterator[pa.Table]]]:
    """Told apart by their first bytes: both forms are found under every suffix. A stream has no row count."""
    with path.open("rb") as file:
        is_file = file.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    if not is_file:
        with pa.ipc.open_stream(pa.OSFile(str(path))):
            return None, lambda: _stream_tables(path)
    with pa.ipc.open_file(pa.OSFile(str(path))) as reader:
        return reader.count_rows(), lambda: _file_tables(path)


def _parquet_tables(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
        if file.metadata.num_rows == 0:
            yield file.schema_arrow.empty_table()
        for batch in file.iter_batches(batch_size=_rows_at_once(file.metadata)):
            yield pa.Table.from_batches([batch])


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    size: int = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE * rows // max(size, 1)))


def _file_tables(path: Path) -> Iterator[pa.Table]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        yield reader.schema.empty_table()
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])


def _stream_tables(path: Path) -> Iterator[pa.Table]:
    with pa.OSFile(str(path)) as file:
        yield from stream_tables(file)


def stream_tables(stream: pa.NativeFile | bytes) -> Iterator[pa.Table]:
    """Of an IPC stream: first one without rows, for its columns, then one for each of its batches."""
    with pa.ipc.open_stream(stream) as reader:
        yield reader.schema.empty_table()
        for batch in reader:
            yield pa.Table.from_batches([batch])

"""Files that carry their own schema: Parquet, and Arrow IPC in its file and stream forms.

What a file says of itself is checked against what is in it: the checksums of Parquet pages where its writer made some,
numbers of rows, the end of a stream. Statistics are not used.

Parquet's old INT96 timestamps: nanoseconds over more years than 64 bits hold, so Arrow gives up one or the other.

In nanoseconds Arrow wraps what lies outside the years 1677 to 2262, as Spark's 9999-12-31 does; in microseconds it cuts
digits off. Which of the two loses nothing is found by reading these columns in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from timestore_pipeline.ingest.values.map_keys import refuse_null_keys
from timestore_pipeline.model.refusals import refused_type, refused_value
from timestore_pipeline.model.source_types import INTERVALS, REMEDIES

_ROWS_AT_ONCE = 65_536
_BYTES_AT_ONCE = 16 << 20  # decoded at once: rows can be wide
_BUFFER_BYTES = 1 << 20  # read at once of a column; without it a row group's columns are held as they lie on disk
_FILE_MAGIC = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_VARIANT = re.compile(
    r"^ *(?:required|optional|repeated) group field_id=-?\d+ (.+) \(Variant\(\d+\)\) \{$", re.MULTILINE
)
_MICROS, _NANOS = "us", "ns"
_FINE = 1000  # nanoseconds in a microsecond
_WITHIN = 2**63 // _FINE  # microseconds either side of 1970 that 64 bits of nanoseconds reach
_REMEDY = "write the column as TIMESTAMP_MICROS or TIMESTAMP_NANOS; INT96 has been deprecated since 2016"


def open_parquet(path: Path) -> tuple[int, Callable[[], Iterator[pa.Table]]]:
    """Row count from the footer, and a reader that holds one row group's pages at most."""
    with pq.ParquetFile(path) as file:
        rows: int = file.metadata.num_rows
        in_groups = sum(file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups))
        if in_groups != rows:
            raise ValueError(f"its footer claims {rows} rows, its row groups {in_groups}")
        _refuse_opaque(file.schema)
    unit = int96_unit(path)
    return rows, lambda: _parquet_tables(path, unit)


def _refuse_opaque(schema: pq.ParquetSchema) -> None:
    """Arrow takes months, days and milliseconds for 12 bytes of no meaning, variants and shapes for such bytes, too.

    Raises `InvalidData`.
    """
    for index in range(len(schema.names)):
        column = schema.column(index)
        if column.converted_type == "INTERVAL":
            raise refused_type(column.path, "INTERVAL of Parquet", INTERVALS)
        if (kind := column.logical_type.type) in ("GEOMETRY", "GEOGRAPHY"):
            raise refused_type(column.path, f"{kind} of Parquet", REMEDIES["geoarrow.wkb"])
    if variant := _VARIANT.search(str(schema)):  # only the text shows what groups are annotated with
        raise refused_type(variant[1], "VARIANT of Parquet", REMEDIES["arrow.parquet.variant"])


def open_ipc(path: Path) -> tuple[int | None, Callable[[], Iterator[pa.Table]]]:
    """Distinguished by their first bytes: both forms are found under every suffix. A stream has no row count."""
    with path.open("rb") as file:
        is_file = file.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    if not is_file:
        with pa.ipc.open_stream(pa.OSFile(str(path))):
            return None, lambda: _stream_tables(path)
    with pa.ipc.open_file(pa.OSFile(str(path))) as reader:
        return reader.count_rows(), lambda: _file_tables(path)


def _parquet_tables(path: Path, int96: str) -> Iterator[pa.Table]:
    with pq.ParquetFile(
        path,
        pre_buffer=False,
        buffer_size=_BUFFER_BYTES,
        page_checksum_verification=True,
        coerce_int96_timestamp_unit=int96,
        arrow_extensions_enabled=True,  # a UUID is one, not 16 bytes
    ) as file:
        claimed, found = file.metadata.num_rows, 0
        as_text = _with_enums(file)
        if claimed == 0:
            yield _without_rows(as_text or file.schema_arrow)
        for batch in file.iter_batches(batch_size=_rows_at_once(file.metadata)):
            found += batch.num_rows
            table = pa.Table.from_batches([batch])
            yield table if as_text is None else table.cast(as_text)
        if found != claimed:
            raise ValueError(f"its footer claims {claimed} rows, and there are {found}")


def _with_enums(file: pq.ParquetFile) -> pa.Schema | None:
    """The file's columns, with enums as the text that they are: Arrow takes them for bytes. None = it has no enums."""
    leaves = [file.schema.column(index).logical_type.type == "ENUM" for index in range(len(file.schema))]
    if not any(leaves):
        return None
    are_enums = iter(leaves)
    return pa.schema([_with_text(field, are_enums) for field in file.schema_arrow])


def _with_text(field: pa.Field, are_enums: Iterator[bool]) -> pa.Field:
    """are_enums: of this leaf, or of those in it, and of those behind it."""
    type_ = field.type
    if pa.types.is_struct(type_):
        return field.with_type(pa.struct([_with_text(inner, are_enums) for inner in type_]))
    if pa.types.is_map(type_):
        key = _with_text(type_.key_field, are_enums)
        return field.with_type(pa.map_(key, _with_text(type_.item_field, are_enums)))
    if pa.types.is_list(type_):
        return field.with_type(pa.list_(_with_text(type_.value_field, are_enums)))
    return field.with_type(pa.string()) if next(are_enums) else field


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    size: int = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE * rows // max(size, 1)))


def _file_tables(path: Path) -> Iterator[pa.Table]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        with pa.OSFile(str(path)) as again:
            refuse_null_keys(again, reader.schema)
        yield _without_rows(reader.schema)
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])


def _stream_tables(path: Path) -> Iterator[pa.Table]:
    with pa.OSFile(str(path)) as file:
        yield from stream_tables(file)


def stream_tables(stream: pa.NativeFile | bytes) -> Iterator[pa.Table]:
    """Of an IPC stream: first one without rows, for its columns, then one for each of its batches."""
    source = stream if isinstance(stream, pa.NativeFile) else pa.BufferReader(stream)
    refuse_null_keys(source, pa.ipc.read_schema(source))
    with pa.ipc.open_stream(source) as reader:
        yield _without_rows(reader.schema)
        for batch in reader:
            yield pa.Table.from_batches([batch])
        _check_end(source)


def _check_end(source: pa.NativeFile) -> None:
    """A stream cut off between two batches reads like a whole one, and a second one behind its end is not read."""
    read, size = source.tell(), source.size()
    source.seek(max(0, read - len(_END_OF_STREAM)))
    if source.read(len(_END_OF_STREAM)) != _END_OF_STREAM:
        raise ValueError("the stream has no end: its writer was not closed, or the rest is missing")
    if size > read:
        raise ValueError(f"{size - read} bytes follow the stream's end")


def _without_rows(schema: pa.Schema) -> pa.Table:
    """`schema.empty_table()` fails for run-end encoded values inside others."""
    return pa.Table.from_batches([], schema)


def int96_unit(path: Path) -> str:
    """The unit in which the file's INT96 columns keep their values; `us` when it has none.

    Raises `InvalidData` for a column that needs both: nanoseconds in one row, and years beyond 2262 in another.
    """
    columns = _int96_columns(path)
    if not columns:
        return _MICROS
    fine, far = "", ""
    for micros, nanos in zip(_leaves(path, columns, _MICROS), _leaves(path, columns, _NANOS), strict=True):
        name, coarse = micros
        outside = pc.greater_equal(pc.abs_checked(coarse), _WITHIN)
        digits = pc.not_equal(pc.multiply(coarse, _FINE), nanos[1])
        fine = fine or (name if pc.any(pc.and_not(digits, outside)).as_py() else "")
        far = far or (name if pc.any(outside).as_py() else "")
    if fine and far:
        problem = f"but is outside of 1677 to 2262 in a file whose column {fine!r} has nanoseconds"
        raise refused_value(far, 0, "an INT96 value of the file", "timestamp", problem, _REMEDY)
    return _NANOS if fine else _MICROS


def _int96_columns(path: Path) -> list[str]:
    with pq.ParquetFile(path) as file:
        schema = file.schema
        leaves = [schema.column(index) for index in range(len(schema))]
        return sorted({leaf.path.partition(".")[0] for leaf in leaves if leaf.physical_type == "INT96"})


def _leaves(path: Path, columns: list[str], unit: str) -> Iterator[tuple[str, pa.Array]]:
    """Column and numbers of every array of timestamps, in the order of the file."""
    with pq.ParquetFile(path, coerce_int96_timestamp_unit=unit, page_checksum_verification=True) as file:
        for batch in file.iter_batches(columns=columns):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                for leaf in _timestamps(column):
                    yield name, leaf.cast(pa.int64())


def _timestamps(array: pa.Array) -> Iterator[pa.Array]:
    if pa.types.is_timestamp(array.type):
        yield array
    elif pa.types.is_struct(array.type):
        for child in array.flatten():
            yield from _timestamps(child)
    elif pa.types.is_map(array.type):
        yield from _timestamps(array.keys)
        yield from _timestamps(array.items)
    elif pa.types.is_list(array.type):
        yield from _timestamps(array.flatten())

"""Parquet's old INT96 timestamps: nanoseconds over more years than 64 bits hold, so Arrow gives up one or the other.

In nanoseconds Arrow wraps what lies outside the years 1677 to 2262, as Spark's 9999-12-31 does; in microseconds it cuts
digits off. Which of the two loses nothing is found by reading these columns in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from timestore_pipeline.model.refusals import refused_value

_MICROS, _NANOS = "us", "ns"
_FINE = 1000  # nanoseconds in a microsecond
_WITHIN = 2**63 // _FINE  # microseconds either side of 1970 that 64 bits of nanoseconds reach
_REMEDY = "write the column as TIMESTAMP_MICROS or TIMESTAMP_NANOS; INT96 has been deprecated since 2016"


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

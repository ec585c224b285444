"""A column converted chunk by chunk, with the first row whose value cannot be kept named in the error."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.model.refusals import UnfitValue, refused_type

Convert = Callable[[pa.Array], pa.Array]
ARROW_ERRORS = (pa.ArrowException, ValueError, TypeError, OverflowError, KeyError, NotImplementedError, struct.error)
_UNREAD = "convert it to a plain type (number, string, timestamp, list, struct) before it is sent"


def converted(column: pa.ChunkedArray, path: str, target: pa.DataType, convert: Convert) -> pa.ChunkedArray:
    """Every chunk through `convert`, which gives `target` and raises `UnfitValue` for a value that cannot be kept.

    Raises `InvalidData` that names the row; and for whatever Arrow cannot do with the column, so that no error of its
    own reaches a producer.
    """
    try:
        return pa.chunked_array([convert(chunk) for chunk in column.chunks], type=target)
    except UnfitValue:
        row, unfit = _first_unfit(column, convert)
        raise unfit.in_row(row) from unfit
    except MemoryError:
        raise
    except ARROW_ERRORS as error:
        raise unreadable_column(path, column.type, error) from error


@contextmanager
def arrow_errors_typed(table: pa.Table) -> Iterator[None]:
    """The last door: an error of Arrow's that nothing else has translated becomes `InvalidData`, naming the columns."""
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, ValueError, struct.error) as error:
        columns = ", ".join(f"{field.name!r} ({field.type})" for field in table.schema)
        raise InvalidData(f"columns {columns:.500} cannot be read: {_reason(error)}", hint=_UNREAD) from error


def unreadable_column(path: str, type_: object, error: Exception) -> InvalidData:
    """What is left to say when Arrow has no way to read a column."""
    return refused_type(path, type_, _UNREAD, f"and cannot be read: {_reason(error)}")


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _first_unfit(column: pa.ChunkedArray, convert: Convert) -> tuple[int, UnfitValue]:
    """By halving: nested values lie elsewhere than their row, and only a conversion says which it refuses."""
    first, end = 0, len(column)
    while end - first > 1:
        half = (first + end) // 2
        if _unfit(column.slice(first, half - first), convert) is None:
            first = half
        else:
            end = half
    unfit = _unfit(column.slice(first, 1), convert)
    assert unfit is not None, "a value that is refused among others is refused alone"
    return first, unfit


def _unfit(column: pa.ChunkedArray, convert: Convert) -> UnfitValue | None:
    try:
        for chunk in column.chunks:
            convert(chunk)
    except UnfitValue as unfit:
        return unfit
    return None

"""What pandas notes in a table's metadata: its index, and which columns were floats, where NaN is a missing value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_FLOATS = frozenset({"float16", "float32", "float64"})
_LONGEST = 2 << 20  # bytes; 2,000 columns take 600 kB, and a server reads nothing else meanwhile
_EXACT = 2**53  # beyond it a float may already be another integer's neighbour


def pandas_note(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """pandas' own JSON; empty when there is none, or something else stands under its key."""
    text = (metadata or {}).get(b"pandas", b"")
    if not text or len(text) > _LONGEST:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def float_columns(metadata: Mapping[bytes, bytes] | None) -> frozenset[str]:
    """Columns that pandas held as floats: it turns integers into such when one of them is missing."""
    return frozenset(name for name, column in _described(metadata) if column.get("numpy_type") in _FLOATS)


def pandas_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """What pandas calls each column, None = it has no name, by its name in the table."""
    return {name: column.get("name") for name, column in _described(metadata)}


def _described(metadata: Mapping[bytes, bytes] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    columns = pandas_note(metadata).get("columns", [])
    for column in columns if isinstance(columns, list) else []:
        if isinstance(column, dict) and isinstance(column.get("field_name"), str):
            yield column["field_name"], column


def whole_numbers(column: pa.ChunkedArray, known: pa.DataType | None) -> pa.ChunkedArray:
    """Integers with a gap as they were before pandas made floats of them, where the dataset's column holds integers.

    As it is when a value is no whole number, or so large that it may have been rounded.
    """
    if known is None or not pa.types.is_floating(column.type) or not _holds_integers(known):
        return column
    doubles = column.cast(pa.float64())  # of shorter floats Arrow has not every function
    doubles = pc.if_else(pc.is_nan(doubles), pa.scalar(None, pa.float64()), doubles)
    is_whole = pc.and_(pc.equal(pc.trunc(doubles), doubles), pc.less_equal(pc.abs(doubles), _EXACT))
    return doubles.cast(pa.int64()) if pc.all(is_whole, min_count=0).as_py() else doubles


def _holds_integers(type_: pa.DataType) -> bool:
    return bool(pa.types.is_int64(type_) or (pa.types.is_decimal(type_) and type_.scale == 0))

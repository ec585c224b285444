"""What another library hands over in memory, as a table of exactly its rows.

A batch has no arrays before they are asked for. That is the time to look at it: Arrow makes columns of the arrays as
long as they are, though a batch may be shorter than what lies in them, and ends the process over a null among the keys
of a map. Slicing and validating a batch make no array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.values.map_keys import key_nodes
from timestore_pipeline.model.refusals import null_key

_PLACE = re.compile(r"(?:In column |Struct child array #)(\d+)")
_NULL_KEYS = re.compile(r"Map array (keys|child) array should have no nulls")


def table_of(data: Any) -> pa.Table:
    """The rows of an object with `__arrow_c_stream__` or `__arrow_c_array__`, or of a reader or a batch of Arrow's.

    Raises `InvalidData` for a map with a null for a key, and for a batch that has fewer values than rows; anything else
    that is wrong with the values is left to their validation.
    """
    if isinstance(data, pa.RecordBatch):
        return _joined([data], data.schema)
    if isinstance(data, pa.RecordBatchReader):
        return _joined(data, data.schema)
    if isinstance(data, (pa.StructArray, pa.ChunkedArray)) and pa.types.is_struct(data.type) and not data.null_count:
        return _of_structs(data)
    if hasattr(data, "__arrow_c_stream__"):
        return table_of(pa.RecordBatchReader.from_stream(data))
    return table_of(pa.record_batch(data))


def _joined(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    taken: list[pa.RecordBatch] = []
    first = 0
    for batch in batches:
        own = batch.slice(0, batch.num_rows)
        _check(own, first)
        taken.append(own)
        first += own.num_rows
    return pa.Table.from_batches(taken, schema)


def _of_structs(data: pa.StructArray | pa.ChunkedArray) -> pa.Table:
    first = 0
    for chunk in data.chunks if isinstance(data, pa.ChunkedArray) else [data]:
        try:
            chunk.validate()
        except pa.ArrowException as error:
            _refuse_null_key(error, data.type, range(first, first + len(chunk)))
        first += len(chunk)
    return pa.Table.from_struct_array(data)


def _check(batch: pa.RecordBatch, first: int) -> None:
    """first: the row with which it begins. A column that is wrong otherwise does not hide those behind it."""
    rows = range(first, first + batch.num_rows)
    while True:
        try:
            batch.validate()
            return
        except pa.ArrowException as error:
            position = _refuse_null_key(error, batch.schema, rows)
            if position is None:
                raise InvalidData(f"a batch is malformed: {error}", hint="write the data anew") from error
            batch = batch.remove_column(position)


def _refuse_null_key(error: pa.ArrowException, fields: pa.Schema | pa.StructType, rows: range) -> int | None:
    """Raise `InvalidData` if that is what Arrow's error is about; else return the column's position, None = of none."""
    place = _PLACE.match(str(error))
    if place is not None and _NULL_KEYS.search(str(error)):
        field = fields.field(int(place[1]))
        maps = [path for _, path, _ in key_nodes(pa.schema([field]))]  # Arrow does not say which of several it is
        raise null_key(maps[0] if len(maps) == 1 else field.name).in_row(rows) from error
    return None if place is None else int(place[1])

"""Whatever a producer holds, as an Arrow table that is known to be well formed.

Arrow data crosses over without a copy, through the PyCapsule interface that pyarrow, polars, pandas and DuckDB share;
so its buffers come from outside and are validated in full before anything reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from timestore_pipeline.errors import InvalidData, TimestoreError
from timestore_pipeline.ingest.values.by_row import unreadable_column
from timestore_pipeline.ingest.values.frames import exportable
from timestore_pipeline.ingest.values.handed_over import table_of
from timestore_pipeline.ingest.values.malformed import malformed
from timestore_pipeline.ingest.values.pandas_notes import pandas_names, pandas_note
from timestore_pipeline.ingest.values.rows import table_from_rows

_INDEX_PREFIX = "__index_level_"  # what pandas calls an index without a name
_HINT = "send Arrow data (pyarrow, polars, pandas, DuckDB) or a list of mappings, one per row"


def read_arrow(data: object) -> pa.Table:
    """`data` as a table in the types it came in.

    Accepts anything with `__arrow_c_stream__` or `__arrow_c_array__`, or an iterable of mappings, which is consumed.
    Raises `InvalidData` for anything else, for mixed kinds in a column, and for malformed buffers (invalid UTF-8,
    offsets out of bounds). The result may share memory with `data`.
    """
    table = _imported(data) if _is_arrow(data) else _from_rows(data)
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        _refuse_malformed_column(table)
        raise InvalidData(f"{_kind(data)} is malformed: {error}", hint="write the data anew") from error
    return table


def _refuse_malformed_column(table: pa.Table) -> None:
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            raise malformed(name, column, error) from error
        except pa.ArrowException as error:
            raise unreadable_column(name, column.type, error) from error


def _is_arrow(data: object) -> bool:
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")


def _imported(data: object) -> pa.Table:
    if isinstance(data, pa.Table):
        return _without_unnamed_index(data)
    try:
        ready = exportable(data)
        table = ready if isinstance(ready, pa.Table) else table_of(ready)
    except (TimestoreError, MemoryError):
        raise
    except Exception as error:  # the export is the library's own, and a query may run in it
        raise InvalidData(f"{_kind(data)} cannot be read as a table: {error}", hint=_HINT) from error
    return _without_unnamed_index(_with_named_range_index(table))


def _from_rows(data: object) -> pa.Table:
    if isinstance(data, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(data, Iterable):
        raise InvalidData(f"{_kind(data)} is not a collection of rows", hint=_hint(data))
    try:
        return table_from_rows(data)
    except RecursionError as error:
        raise InvalidData("a value is nested too deeply", hint="flatten it") from error


def _hint(data: object) -> str:
    if isinstance(data, Mapping):
        return "wrap the row in a list: [row]"
    if _kind(data).startswith("polars.") and type(data).__name__ == "LazyFrame":
        return "it has no rows before it is run: send frame.collect()"
    return _HINT


def _kind(data: object) -> str:
    return f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")


def _with_named_range_index(table: pa.Table) -> pa.Table:
    """Bring back a range index that was given a name: pandas leaves its values out of the Arrow data."""
    for index in _pandas_indexes(table):
        if isinstance(index, dict) and index.get("kind") == "range" and index.get("name") is not None:
            values = range(index["start"], index["stop"], index["step"])
            if len(values) == table.num_rows:  # a slice of such data still carries the index of the whole
                table = table.append_column(str(index["name"]), pa.array(values, pa.int64()))
    return table


def _without_unnamed_index(table: pa.Table) -> pa.Table:
    """Leave out row numbers that survived a filter; refuse an unnamed index that may well be the time.

    One that has the name of a column has none in the table either, and is refused.
    """
    names = pandas_names(table.schema.metadata)
    for index in _pandas_indexes(table):
        if isinstance(index, str) and index.startswith(_INDEX_PREFIX) and index in table.column_names:
            if (name := names.get(index)) is not None:
                hint = "rename the index (df.index.name = …), or leave it out: reset_index(drop=True)"
                raise InvalidData(f"column {name!r} and the pandas index have the same name", hint=hint)
            type_ = table.schema.field(index).type
            if not pa.types.is_integer(type_):
                raise InvalidData(
                    f"the pandas index has no name and holds {type_}",
                    hint="name it (df.index.name = …) or reset_index()",
                )
            table = table.drop_columns([index])
    return table


def _pandas_indexes(table: pa.Table) -> list[Any]:
    indexes = pandas_note(table.schema.metadata).get("index_columns", [])
    return indexes if isinstance(indexes, list) else []

"""A producer's data as an Arrow table that is known to be well formed.

Arrow data crosses over without a copy, through the PyCapsule interface that pyarrow, polars, pandas and DuckDB share;
so its buffers come from outside and are validated in full before anything reads them.

Of data that contradict their own type, the error names the value that the validation refuses. Arrow validates the
values of a list as a whole, also those of other rows than the one it was asked about; so a nested array is searched
from the inside, and the place of the value traced back to its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from timestore_pipeline.errors import InvalidData, TimestoreError
from timestore_pipeline.ingest.values.by_row import unreadable_column
from timestore_pipeline.ingest.values.data_frames import exportable
from timestore_pipeline.ingest.values.handed_over import table_of
from timestore_pipeline.ingest.values.pandas_notes import pandas_names, pandas_note
from timestore_pipeline.ingest.values.rows import table_from_rows
from timestore_pipeline.model.refusals import refused_value
from timestore_pipeline.model.source_types import is_list

_INDEX_PREFIX = "__index_level_"  # what pandas calls an index without a name
_HINT = "send Arrow data (pyarrow, polars, pandas, DuckDB) or a list of mappings, one per row"
_REMEDIES = {  # a word of Arrow's -> the remedy
    "UTF8": "strings must be UTF-8; send other bytes as binary",
    "Decimal": "send such numbers as text",
    "range": "a time of day is less than a day; send longer times as a duration",
    "whole number of days": "send whole days, or a timestamp",
}
_T = pa.types
_Outward = Callable[[int], int | None]  # from a child's place to that of the value it belongs to, None = to no value


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
    if not table.schema.metadata:
        return table
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


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    row: int | None  # None = no row uses the value
    value: str
    type: pa.DataType
    problem: str  # Arrow's words


def malformed(name: str, column: pa.ChunkedArray, error: pa.ArrowInvalid) -> InvalidData:
    """The refusal of a column whose full validation raised `error`."""
    first = 0
    for chunk in column.chunks:
        if _problem(chunk):
            place = _find(chunk, name)
            if place.row is not None:
                problem, remedy = f"but is malformed: {place.problem}", _remedy(place.problem)
                return refused_value(place.path, first + place.row, place.value, str(place.type), problem, remedy)
            break
        first += len(chunk)
    return InvalidData(f"column {name!r} ({column.type}) is malformed: {error}", hint=_remedy(str(error)))


def _remedy(problem: str) -> str:
    return next((remedy for word, remedy in _REMEDIES.items() if word in problem), "write the data anew")


def _problem(array: pa.Array) -> str:
    """Empty for valid data."""
    try:
        array.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowIndexError) as error:
        return str(error).rpartition("Invalid: ")[2]
    return ""


def _find(array: pa.Array, path: str) -> _Place:
    """Innermost first: an array over malformed values is malformed itself."""
    for inner, child, outward in _children(array, path):
        if _problem(child):
            found = _find(child, inner)
            return replace(found, row=None if found.row is None else outward(found.row))
    row = next((row for row in range(len(array)) if _problem(array.slice(row, 1))), None)
    if row is None:
        return _Place(path, None, "", array.type, "")
    problem = _problem(array.slice(row, 1))
    return _Place(path, row, _shown(array, row, problem), array.type, problem)


def _children(array: pa.Array, path: str) -> Iterator[tuple[str, pa.Array, _Outward]]:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield path, array.storage, lambda place: place
    elif isinstance(array, pa.DictionaryArray):
        yield path, array.dictionary, _user(array)
    elif _T.is_struct(kind):
        for index, field in enumerate(kind):
            yield f"{path}.{field.name}", array.field(index), lambda place: place
    elif _T.is_map(kind):
        yield f"{path}{{key}}", array.keys, _owner(array)
        yield f"{path}{{value}}", array.items, _owner(array)
    elif is_list(kind):
        yield f"{path}[]", array.values, _owner(array)


def _user(array: pa.DictionaryArray) -> _Outward:
    """The first row that uses a value of the dictionary."""
    return lambda place: next((row for row, index in enumerate(array.indices.to_pylist()) if index == place), None)


def _owner(array: pa.Array) -> _Outward:
    """The first list or map that has a place among its values."""

    def owner(place: int) -> int | None:
        return next((row for row in range(len(array)) if array.is_valid()[row].as_py() and place in span(row)), None)

    def span(row: int) -> range:
        if isinstance(array, pa.FixedSizeListArray):
            first = (array.offset + row) * array.type.list_size
            return range(first, first + array.type.list_size)
        first = array.offsets[row].as_py()
        if isinstance(array, (pa.ListViewArray, pa.LargeListViewArray)):
            return range(first, first + array.sizes[row].as_py())
        return range(first, array.offsets[row + 1].as_py())

    return owner


def _shown(array: pa.Array, row: int, problem: str) -> str:
    """As far as it can be read without following what points beyond its buffers, which would end the process."""
    kind = array.type
    if _T.is_decimal(kind):
        return str(array[row])
    if _T.is_time(kind) or _T.is_date64(kind):
        return str(array[row].value)
    if "UTF8" not in problem:
        return "a value"
    raw = pa.binary_view() if _T.is_string_view(kind) else pa.large_binary()
    return repr(array.slice(row, 1).cast(raw)[0].as_py())

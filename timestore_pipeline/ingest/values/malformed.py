"""Arrow data that contradict their own type: where the value lies that Arrow's full validation refuses.

Arrow validates the values of a list as a whole, also those of other rows than the one it was asked about; so a nested
array is looked through from the inside, and the place of the value traced back to its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.model.refusals import refused_value
from timestore_pipeline.model.source_types import is_list

_REMEDIES = {  # a word of Arrow's -> the remedy
    "UTF8": "strings must be UTF-8; send other bytes as binary",
    "Decimal": "send such numbers as text",
    "range": "a time of day lies within a day; send a duration where it may pass one",
    "whole number of days": "send whole days, or a timestamp",
}
_T = pa.types
_Outward = Callable[[int], int | None]  # from a child's place to that of the value it belongs to, None = to no value


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
    """The first row that has a value of the dictionary."""
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

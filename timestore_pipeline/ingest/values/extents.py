"""How far the numbers of a batch reach, noted as long as their columns may still take a wider type.

The least and the greatest value of a column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.model.batch import Extent, Extents

_EXACT = 2**53  # every whole number up to here is a double
_FEW = 200  # rows that Python looks through in less time than Arrow takes to begin
_FORMATS: dict[int, Literal["i", "q"]] = {32: "i", 64: "q"}  # by bits of a value


def extents_of(rows: pa.Table) -> Extents:
    """By path, of the int64 and decimal leaves that hold a value; `rows` in canonical types."""
    found: dict[str, Extent] = {}
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        for path, leaf in _leaves(column, name):
            if (extent := _extent(leaf)) is not None:
                found[path] = found.get(path, Extent()) | extent
    return found


def _leaves(values: pa.ChunkedArray | pa.Array, path: str) -> Iterator[tuple[str, pa.ChunkedArray | pa.Array]]:
    type_ = values.type
    if pa.types.is_int64(type_) or pa.types.is_decimal(type_):
        yield path, values
    elif pa.types.is_nested(type_):
        for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
            yield from _inner(chunk, path)


def _inner(array: pa.Array, path: str) -> Iterator[tuple[str, pa.Array]]:
    if pa.types.is_list(array.type):
        yield from _leaves(array.flatten(), f"{path}[]")
    elif pa.types.is_struct(array.type):
        for field, child in zip(array.type, array.flatten(), strict=True):
            yield from _leaves(child, f"{path}.{field.name}")
    elif pa.types.is_map(array.type):
        entries = array.take(pa.array(range(len(array)), pa.int64()))  # keys and items of a slice still show the whole
        yield from _leaves(entries.keys, f"{path}{{key}}")
        yield from _leaves(entries.items, f"{path}{{value}}")


def _extent(values: pa.ChunkedArray | pa.Array) -> Extent | None:
    least, greatest = ends_of(values)
    if least is None:
        return None
    furthest = max(abs(least), abs(greatest))
    digits = len(str(int(furthest)))
    if pa.types.is_decimal(values.type):
        return Extent(digits, doubles=False)
    return Extent(digits, doubles=furthest <= _EXACT or _are_doubles(values))


def _are_doubles(values: pa.ChunkedArray | pa.Array) -> bool:
    return all(value is None or int(float(value)) == value for value in values.to_pylist())


def ends_of(values: pa.Array | pa.ChunkedArray) -> tuple[Any, Any]:
    """Of int64, decimal128, or dates and times as the numbers that stand for them; None = no value but null."""
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    format_ = _FORMATS.get(values.type.bit_width)
    if format_ and len(chunks) == 1 and 0 < len(values) <= _FEW and not values.null_count:
        return _ends_of_few(chunks[0], format_)
    ends = pc.min_max(values)
    return _number(ends["min"]), _number(ends["max"])


def _ends_of_few(array: pa.Array, format_: Literal["i", "q"]) -> tuple[int, int]:
    """The same of an array with a value in each row."""
    size = array.type.bit_width // 8
    content = memoryview(array.buffers()[1])[array.offset * size : (array.offset + len(array)) * size]
    numbers = content.cast(format_)
    return min(numbers), max(numbers)


def _number(value: pa.Scalar) -> Any:
    return value.value if hasattr(value, "value") else value.as_py()

"""How far the numbers of a batch reach, noted as long as their columns may still take a wider type."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from timestore_pipeline.ingest.ends import ends_of
from timestore_pipeline.model.extent import Extent, Extents

_EXACT = 2**53  # every whole number up to here is a double


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

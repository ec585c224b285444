"""Rows as they are staged and published: times of day and durations as their microseconds.

Arrow's own `view` would do, but damages lists of nothing but nulls on the way.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.ingest.plain_values import entries, list_of, map_of
from timestore_pipeline.model.canonical import DURATION, TIME, stored_type


def stored_values(array: pa.Array) -> pa.Array:
    """An array of a canonical type in its `stored_type`."""
    kind = array.type
    if stored_type(kind).equals(kind):
        return array
    if kind in (TIME, DURATION):
        return array.view(pa.int64())
    if pa.types.is_list(kind):
        return list_of(array, stored_values(pc.list_flatten(array)))
    if pa.types.is_map(kind):
        listed = entries(array, array.keys, array.items)
        return map_of(listed, *map(stored_values, pc.list_flatten(listed).flatten()))
    children = [stored_values(child) for child in array.flatten()]
    names = [field.name for field in kind]
    return pa.StructArray.from_arrays(children, names=names, mask=array.is_null())

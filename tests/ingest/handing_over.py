"""Hands over maps with a null for a key, as other libraries may, and prints the refusals, in a process of its own."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tests.ingest.map_streams import BAD, GOOD, LISTED, MAP, PAIRS
from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.normalize import read_arrow

_STRUCT, _LISTED_STRUCT = (pa.struct([("x", pa.int64()), ("m", map_)]) for map_ in (MAP, LISTED))
_TWO, _LISTED_TWO = (pa.struct([("a", map_), ("b", map_)]) for map_ in (MAP, LISTED))


@dataclass
class Foreign:
    """Arrays under another schema than theirs: what a map is stored as, said to be a map."""

    schema: Any
    arrays: Any

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self.schema.__arrow_c_schema__(), self.arrays.__arrow_c_array__()[1]


LENGTH, NULLS, CHILDREN = 0, 1, 6  # places in C's ArrowArray, of eight bytes each


@dataclass
class Edited:
    """A batch whose first column says another number of itself."""

    batch: Foreign
    place: int
    number: int

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        schema, array = self.batch.__arrow_c_array__()
        words = ctypes.POINTER(ctypes.c_int64)
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        children = ctypes.cast(pointer(array, b"arrow_array"), ctypes.POINTER(ctypes.POINTER(words)))[CHILDREN]
        children[0][self.place] = self.number
        return schema, array


def batch(kind: pa.DataType, listed: pa.DataType, *values: Any) -> Foreign:
    numbers = pa.array(range(len(values)))
    return Foreign(
        pa.schema([("n", pa.int64()), ("v", kind)]), pa.record_batch({"n": numbers, "v": pa.array(values, listed)})
    )


def reader() -> pa.RecordBatchReader:
    """Of three batches of two rows; the second has a null key."""
    found = [pa.record_batch(batch(MAP, LISTED, GOOD, other)) for other in (None, BAD, GOOD)]
    return pa.RecordBatchReader.from_batches(found[0].schema, found)


def hidden() -> Foreign:
    """A null key under a null."""
    values = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), pa.array(BAD, PAIRS), mask=pa.array([True]))
    return Foreign(pa.schema([("v", MAP)]), pa.record_batch({"v": values}))


def behind_another() -> Edited:
    """A null key in a column behind one that says to have more nulls than values."""
    rows = pa.record_batch({"n": pa.array([None], pa.int64()), "v": pa.array([BAD], LISTED)})
    return Edited(Foreign(pa.schema([("n", pa.int64()), ("v", MAP)]), rows), NULLS, 9)


def structs(*values: Any) -> pa.StructArray:
    return pa.array(Foreign(_STRUCT, pa.array([{"x": 1, "m": value} for value in values], _LISTED_STRUCT)))


CASES: dict[str, Callable[[], Any]] = {
    "a column": lambda: batch(MAP, LISTED, GOOD, BAD),
    "one row": lambda: batch(MAP, LISTED, BAD),
    "a null entry": lambda: batch(MAP, LISTED, [None]),
    "in a list": lambda: batch(pa.list_(MAP), pa.list_(LISTED), [], [GOOD, BAD]),
    "in a struct": lambda: batch(_STRUCT, _LISTED_STRUCT, {"x": 1, "m": BAD}),
    "in one of two": lambda: batch(_TWO, _LISTED_TWO, {"a": GOOD, "b": BAD}),
    "under a null": hidden,
    "behind another": behind_another,
    "a batch": lambda: pa.record_batch(batch(MAP, LISTED, GOOD, BAD)),
    "a reader": reader,
    "structs": lambda: structs(GOOD, BAD),
    "chunks": lambda: pa.chunked_array([structs(GOOD), structs(GOOD, BAD)]),
}


def main() -> None:
    for name, make in CASES.items():
        try:
            read_arrow(make())
        except InvalidData as refused:
            sys.stdout.write(f"{name}: {refused} ({refused.hint})\n")


if __name__ == "__main__":
    main()

"""Buffers that no library makes on purpose: each is refused with its column and row, before DuckDB sees it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.ingest.values.conform import conform
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import DEFAULT_POLICY
from timestore_pipeline.model.canonical import canonical_schema

Wrap = Callable[[pa.Array], pa.Array]
MOST = 2**63 - 1


def hand_over(array: pa.Array) -> None:
    """Through the door, as a new dataset's first batch."""
    plain = interpret(read_arrow(pa.table({"v": array})), DEFAULT_POLICY, None)
    conform(plain, canonical_schema(plain.schema), None)


def int32(*numbers: int) -> pa.Array:
    return pa.array(numbers, pa.int32())


def int64(*numbers: int) -> pa.Array:
    return pa.array(numbers, pa.int64())


def buffer(*numbers: int, of: type = np.int32) -> pa.Buffer:
    return pa.py_buffer(np.array(numbers, of))


def text(raw: bytes) -> pa.Array:
    return pa.StringArray.from_buffers(2, buffer(0, 1, 1 + len(raw)), pa.py_buffer(b"a" + raw))


def large(raw: bytes) -> pa.Array:
    data = [None, buffer(0, 1, 1 + len(raw), of=np.int64), pa.py_buffer(b"a" + raw)]
    return pa.Array.from_buffers(pa.large_string(), 2, data)


def view(raw: bytes) -> pa.Array:
    views = struct.pack("<i12si12s", 1, b"a", len(raw), raw)
    return pa.Array.from_buffers(pa.string_view(), 2, [None, pa.py_buffer(views)])


def long_view(raw: bytes) -> pa.Array:
    data = b"x" * 20 + raw
    views = struct.pack("<i12si4sii", 1, b"a", len(data), data[:4], 0, 0)
    return pa.Array.from_buffers(pa.string_view(), 2, [None, pa.py_buffer(views), pa.py_buffer(data)])


def scaled(type_: pa.DataType, number: int) -> pa.Array:
    """A decimal of one beside one of the unscaled `number`."""
    raw = b"".join(one.to_bytes(type_.byte_width, "little", signed=True) for one in (1, number))
    return pa.Array.from_buffers(type_, 2, [None, pa.py_buffer(raw)])


def counted(type_: pa.DataType, number: int) -> pa.Array:
    """A time at zero beside one of the count `number`."""
    return pa.array([0, number], pa.int32() if type_.bit_width == 32 else pa.int64()).view(type_)


def in_map(keys: pa.Array, items: pa.Array) -> pa.Array:
    return pa.MapArray.from_arrays(int32(0, 1, 2), keys, items)


WRAPPED: dict[str, Wrap] = {
    "v": lambda array: array,
    "list": lambda array: pa.ListArray.from_arrays(int32(0, 1, 2), array),
    "list view": lambda array: pa.ListViewArray.from_arrays(int32(0, 1), int32(1, 1), array),
    "fixed list": lambda array: pa.FixedSizeListArray.from_arrays(array, 1),
    "struct": lambda array: pa.StructArray.from_arrays([array], ["x"]),
    "map key": lambda array: in_map(array, int32(1, 2)),
    "map value": lambda array: in_map(pa.array(["a", "b"]), array),
    "dictionary": lambda array: pa.DictionaryArray.from_arrays(int32(0, 1), array),
}
BROKEN = [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xe0\x80\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]
TEXTS = {
    "no UTF-8": text(b"\xff"),
    "a surrogate": text(b"\xed\xa0\x80"),
    "a large string": large(b"\xff"),
    "a view": view(b"\xff"),
    "a long view": long_view(b"\xff"),
}
NUMBERS = {
    "a decimal of too many digits": scaled(pa.decimal128(5, 2), 10**5),
    "a decimal beyond 38 digits": scaled(pa.decimal128(38, 0), 10**38),
    "a short decimal of too many digits": scaled(pa.decimal32(5, 2), 10**5),
    "a wide decimal of too many digits": scaled(pa.decimal256(50, 2), 10**50),
    "a day beyond 9999": counted(pa.date32(), 2**31 - 1),
    "a day before 0001": counted(pa.date32(), -(2**31)),
    "milliseconds beyond 9999": counted(pa.date64(), 86_400_000 * 10**9),
    "a part of a day": counted(pa.date64(), 1),
    "microseconds beyond 9999": counted(pa.timestamp("us"), 253_402_300_800_000_000),
    "DuckDB's infinity": counted(pa.timestamp("us", "UTC"), MOST),
    "DuckDB's minus infinity": counted(pa.timestamp("us", "UTC"), -MOST),
    "seconds beyond 64 bits of microseconds": counted(pa.timestamp("s", "Asia/Tokyo"), MOST),
    "a time of day beyond a day": counted(pa.time64("us"), 86_400_000_000),
    "a time of day before it": counted(pa.time32("ms"), -1),
    "a duration beyond 64 bits of microseconds": counted(pa.duration("s"), MOST),
}


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("name", [*TEXTS, *NUMBERS])
def test_a_value_that_is_none_is_refused_by_row_at_any_depth(name: str, wrapped: str) -> None:
    array = WRAPPED[wrapped]((TEXTS | NUMBERS)[name])
    with pytest.raises(InvalidData) as caught:
        hand_over(array)
    assert str(caught.value).startswith("column 'v")
    assert ", row 1: " in str(caught.value)
    assert " was taken for " in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("raw", BROKEN, ids=repr)
def test_text_that_is_none_is_shown_as_its_bytes(raw: bytes) -> None:
    with pytest.raises(InvalidData, match="UTF8") as caught:
        hand_over(text(raw))
    assert f"column 'v', row 1: {raw!r} was taken for string" in str(caught.value)


OUT_OF_BOUNDS = {
    "a list": lambda: pa.Array.from_buffers(pa.list_(pa.int64()), 1, [None, buffer(0, 9)], children=[int64(1, 2)]),
    "a list view": lambda: pa.Array.from_buffers(
        pa.list_view(pa.int64()), 1, [None, buffer(5), buffer(5)], children=[int64(1, 2)]
    ),
    "a negative size": lambda: pa.Array.from_buffers(
        pa.list_view(pa.int64()), 1, [None, buffer(0), buffer(-1)], children=[int64(1, 2)]
    ),
    "a dictionary": lambda: pa.DictionaryArray.from_arrays(int32(9), pa.array(["a"]), safe=False),
    "a dictionary in a struct": lambda: pa.StructArray.from_arrays(
        [pa.DictionaryArray.from_arrays(int32(-1), pa.array(["a"]), safe=False)], ["x"]
    ),
    "a run": lambda: pa.Array.from_buffers(
        pa.run_end_encoded(pa.int32(), pa.int64()), 3, [None], children=[int32(0, 3), int64(1, 2)]
    ),
    "a view": lambda: pa.Array.from_buffers(
        pa.string_view(), 1, [None, pa.py_buffer(struct.pack("<i4sii", 20, b"xxxx", 3, 0)), pa.py_buffer(b"x" * 20)]
    ),
}


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_what_points_beyond_its_buffer_is_refused(name: str) -> None:
    try:
        array = OUT_OF_BOUNDS[name]()
    except pa.ArrowInvalid:
        pytest.skip("this Arrow does not even make it")
    with pytest.raises(InvalidData, match="column 'v") as caught:
        hand_over(array)
    assert caught.value.hint


@pytest.mark.parametrize("names", [("x", "x"), ("x", "X"), ("k", "\u212a"), ("x", ""), ("x", "a\0b")], ids=ascii)
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_fields_that_no_engine_tells_apart_are_refused(names: tuple[str, str], wrapped: str) -> None:
    struct_ = pa.StructArray.from_arrays([int64(1, 2), int64(3, 4)], names)
    with pytest.raises(InvalidData, match="in 'v") as caught:
        hand_over(WRAPPED[wrapped](struct_))
    assert caught.value.hint

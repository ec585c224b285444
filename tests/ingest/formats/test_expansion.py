"""What a table takes once every encoding is undone is known before any is."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.formats.expansion import check_shape, plain_bytes

LONG = "x" * 10_000
MILLION = 1_000_000


def same_view(times: int) -> pa.Array:
    """So many texts, all of them the same bytes."""
    _, view, text = pa.array([LONG], pa.string_view()).buffers()
    return pa.Array.from_buffers(pa.string_view(), times, [None, pa.py_buffer(view.to_pybytes()[:16] * times), text])


BOMBS = {
    "dictionary": pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), [LONG]),
    "dictionary of lists": pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), pa.array([[1] * 5000])),
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array([0] * 1000, pa.int8()), pa.array([LONG], pa.string_view())
    ),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([MILLION], pa.int32()), pa.array([1], pa.int64())),
    "runs of small numbers": pa.RunEndEncodedArray.from_arrays(
        pa.array([MILLION], pa.int32()), pa.array([1], pa.int8())
    ),
    "small numbers": pa.array([1] * MILLION, pa.int8()),
    "a slice of a list": pa.ListArray.from_arrays([0, 1, MILLION], pa.array([1] * MILLION, pa.int8())).slice(1),
    "runs of text": pa.RunEndEncodedArray.from_arrays(pa.array([1000], pa.int32()), pa.array([LONG])),
    "views": same_view(1000),
    "views of lists": pa.ListViewArray.from_arrays([0] * 1000, [5000] * 1000, pa.array(range(5000))),
    "nulls": pa.nulls(8 * MILLION),
    "struct": pa.StructArray.from_arrays([pa.DictionaryArray.from_arrays(pa.array([0] * 1000), [LONG])], names=["a"]),
    "list": pa.ListArray.from_arrays([0, 1000], pa.DictionaryArray.from_arrays(pa.array([0] * 1000), [LONG])),
}

PLAIN = {
    "integers": pa.array(range(1000)),
    "text": pa.array(["a", "bc", None] * 300),
    "short views": pa.array(["a", None, "a rather long text"] * 300, pa.string_view()),
    "booleans": pa.array([True, None, False] * 300),
    "decimals": pa.array([Decimal("1.5")] * 300),
    "lists": pa.array([[1, 2], None, []] * 300),
    "structs": pa.array([{"a": 1, "b": "x"}, None] * 300),
    "maps": pa.array([[("a", 1)], None] * 300, pa.map_(pa.string(), pa.int64())),
    "categories": pa.array(["a", "b", None] * 300).dictionary_encode(),
    "empty": pa.array([], pa.string()),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_few_bytes_that_say_much_are_seen_for_what_they_are(name: str) -> None:
    assert plain_bytes(pa.table({"a": BOMBS[name]})) >= 8 * MILLION


def test_a_slice_counts_for_itself() -> None:
    lists = pa.ListArray.from_arrays([0, 1, MILLION], pa.array([1] * MILLION, pa.int64()))
    maps = pa.array([[("a", 1)]] * 1000, pa.map_(pa.string(), pa.int64()))
    fixed = pa.array([[1, 2]] * 1000, pa.list_(pa.int64(), 2))
    for array in (lists, maps, fixed, pa.array([{"a": [1]}] * 1000)):
        assert plain_bytes(pa.table({"a": array}).slice(0, 1)) < 100


@pytest.mark.parametrize("name", PLAIN)
def test_plain_data_is_not_overrated(name: str) -> None:
    array = PLAIN[name]
    assert len(array) <= plain_bytes(pa.table({"a": array})) <= array.nbytes * 2 + 24 * len(array)


def nested(levels: int) -> pa.DataType:
    return pa.int64() if levels == 0 else pa.list_(nested(levels - 1))


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        (pa.schema([]), "no columns"),
        (pa.schema([(f"c{number}", pa.int8()) for number in range(2001)]), "2001 columns"),
        (pa.schema([("a", nested(60))]), "nested deeper"),
    ],
)
def test_schemas_nobody_stages_on_purpose_are_refused(schema: pa.Schema, complaint: str) -> None:
    with pytest.raises(InvalidData, match=complaint):
        check_shape(schema)


def test_a_usual_schema_is_accepted() -> None:
    check_shape(
        pa.schema([("at", pa.timestamp("us")), ("tags", nested(3)), ("k", pa.dictionary(pa.int8(), pa.utf8()))])
    )

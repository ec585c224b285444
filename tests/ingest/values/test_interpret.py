"""Values behind encodings, extension types and declarations: as they were meant, or refused by name."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.ingest.values.conform import conform
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import DEFAULT_POLICY, ValuePolicy
from timestore_pipeline.model.canonical import DURATION, TIMESTAMP, TIMESTAMP_UTC, canonical_schema
from timestore_pipeline.model.dataset import DatasetMetadata

ID = uuid.UUID(int=1)
TEXT = "00000000-0000-0000-0000-000000000001"
WORDS = [["a", "b", None, "a"], pa.string_view()]


def policy(**spec: Any) -> ValuePolicy:
    return ValuePolicy.of(DatasetMetadata.parse({"schema": spec}))


def staged(data: Any, rules: ValuePolicy = DEFAULT_POLICY, known: pa.Schema | None = None) -> pa.Table:
    """The table as it would be staged in a dataset with these columns."""
    plain = interpret(read_arrow(data), rules, known)
    return conform(plain, known or canonical_schema(plain.schema), None, rules)


def column(array: pa.Array, rules: ValuePolicy = DEFAULT_POLICY, known: pa.DataType | None = None) -> pa.ChunkedArray:
    return staged(pa.table({"v": array}), rules, None if known is None else pa.schema([("v", known)])).column("v")


def coded(values: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([9, 1, None, 0, 2], pa.uint8()).slice(1), values)


LAYOUTS: dict[str, pa.Array] = {
    "string_view": pa.array(["a", "b", None], pa.string_view()),
    "binary_view": pa.array([b"a", b"b", None], pa.binary_view()),
    "large_string": pa.array(["a", "b", None], pa.large_string()),
    "fixed_size_binary": pa.array([b"a", b"b", None], pa.binary(1)),
    "dictionary": pa.array(["a", "b", None], pa.string_view()).cast(pa.string()).dictionary_encode(),
    "runs": pc.run_end_encode(pa.array(["a", "b", None])),
    "runs of views": pa.RunEndEncodedArray.from_arrays(
        pa.array([1, 2, 3], pa.int32()), pa.array(["a", "b", None], pa.string_view())
    ),
    "list_view": pa.array([["a"], ["b"], None], pa.list_view(pa.string_view())),
    "large_list_view": pa.array([["a"], ["b"], None], pa.large_list_view(pa.string())),
    "fixed_size_list": pa.array([["a"], ["b"], None], pa.list_(pa.string(), 1)),
    "struct": pa.array([{"x": "a"}, {"x": "b"}, None], pa.struct([("x", pa.string_view())])),
    "map": pa.array([[("k", "a")], [("k", "b")], None], pa.map_(pa.string_view(), pa.string_view())),
    "uint64": pa.array([2**64 - 1, 1, None], pa.uint64()),
    "decimal": pa.array([Decimal("1.5"), Decimal(2), None], pa.decimal256(50, 1)),
}
WRAPS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "alone": lambda a: a,
    "in a list": lambda a: pa.ListArray.from_arrays(pa.array([0, 2, 2, 4], pa.int32()), a),
    "in a sliced list": lambda a: pa.ListArray.from_arrays(pa.array([0, 2, 2, 4], pa.int32()), a).slice(1),
    "in a struct": lambda a: pa.StructArray.from_arrays([a], ["x"]).slice(1),
    "in a map": lambda a: pa.MapArray.from_arrays(
        pa.array([0, 2, 4], pa.int32()), pa.array(["k", "l", "m", "n"], pa.string_view()), a
    ).slice(1),
    "in a dictionary": lambda a: pa.DictionaryArray.from_arrays(pa.array([3, 0, None], pa.int8()), a),
    "in runs": lambda a: pa.RunEndEncodedArray.from_arrays(pa.array([1, 3, 5, 7], pa.int32()), a).slice(2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_a_dictionary_of_any_values_at_any_depth_is_its_values(layout: str, wrap: str) -> None:
    array = WRAPS[wrap](coded(LAYOUTS[layout]))
    assert column(array).to_pylist() == array.to_pylist()


def test_values_of_nothing_but_nulls_stand_beside_durations() -> None:
    nulls = pa.array([[[None, None], None], None, [[None]]], pa.list_view(pa.large_list(pa.null())))
    array = pa.StructArray.from_arrays([nulls, pa.array([1, 2, 3], pa.duration("s"))], ["x", "y"]).slice(1)
    plain = interpret(pa.table({"v": array}), DEFAULT_POLICY, None)
    schema = pa.schema([("v", pa.struct([("x", pa.list_(pa.list_(pa.null()))), ("y", DURATION)]))])
    result = conform(plain, schema, None)
    result.validate(full=True)
    assert result.column("v").to_pylist() == [{"x": None, "y": 2_000_000}, {"x": [[None]], "y": 3_000_000}]


def test_dictionaries_that_change_between_chunks_are_looked_up_in_their_own() -> None:
    chunks = [pa.array(values).dictionary_encode() for values in (["a", "b"], ["c", "a"])]
    assert staged(pa.table({"v": pa.chunked_array(chunks)})).column("v").to_pylist() == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array([ID, None]), [TEXT, None]),
        (pa.array(["{}", None], pa.json_()), ["{}", None]),
        (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())), [True, False, None]),
        (
            pa.ExtensionArray.from_storage(
                pa.opaque(pa.binary(16), "hugeint", "DuckDB"),
                pa.array([(-5).to_bytes(16, "little", signed=True), None], pa.binary(16)),
            ),
            [Decimal(-5), None],
        ),
        (pa.StructArray.from_arrays([pa.array([ID, ID])], ["id"]), [{"id": TEXT}, {"id": TEXT}]),
        (coded(pa.array([ID, ID, None])), [TEXT, None, TEXT, None]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_extension_types_arrive_as_what_they_stand_for(array: pa.Array, values: list[Any]) -> None:
    assert column(array).to_pylist() == values


def test_a_name_in_the_metadata_counts_like_a_registered_type() -> None:
    field = pa.field("v", pa.binary(16), metadata={"ARROW:extension:name": "arrow.uuid"})
    table = pa.Table.from_arrays([pa.array([ID.bytes], pa.binary(16))], schema=pa.schema([field]))
    assert staged(table).column("v").to_pylist() == [TEXT]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([ID.bytes], pa.binary(16)),
        pa.array([ID.bytes]),
        pa.array([TEXT.upper()]),
        pa.array([f"urn:uuid:{TEXT}"], pa.string_view()),
        pa.array(["{" + ID.hex + "}"]),
        pa.array([ID]),
    ],
    ids=lambda array: f"{array.type} {array[0]}",
)
def test_a_column_declared_uuid_takes_any_spelling(array: pa.Array) -> None:
    assert column(array, policy(columns={"v": "uuid"}), pa.string()).to_pylist() == [TEXT]


@pytest.mark.parametrize(
    ("declared", "array", "micros"),
    [
        ("epoch_s", pa.array([1, None, -1], pa.int32()), [1_000_000, None, -1_000_000]),
        ("epoch_ms", pa.array([1, 2**40], pa.uint64()), [1000, 2**40 * 1000]),
        ("epoch_us", pa.array([7]), [7]),
        ("epoch_ns", pa.array([7000]), [7]),
        ("epoch_s", pa.array([1735689600.123456, 0.1]), [1735689600123456, 100000]),
        ("epoch_ms", pa.array([Decimal("1.5")]), [1500]),
        ("epoch_ms", pa.array([datetime(1970, 1, 1, tzinfo=UTC)]), [0]),
    ],
    ids=str,
)
def test_numbers_that_count_since_1970_become_instants(
    declared: str, array: pa.Array, micros: list[int | None]
) -> None:
    result = column(array, policy(columns={"v": declared}), TIMESTAMP_UTC)
    assert result.type == TIMESTAMP_UTC
    assert result.cast(pa.int64()).to_pylist() == micros


@pytest.mark.parametrize("declared", ["time", "duration"])
def test_integers_are_a_time_or_a_duration_where_the_column_is_declared_so(declared: str) -> None:
    rules = policy(columns={"v": declared})
    plain = interpret(pa.table({"v": [90_000_000]}), rules, None)
    assert plain.schema.field("v").type == rules.declared["v"].type
    assert interpret(pa.table({"v": [90_000_000]}), DEFAULT_POLICY, None).schema.field("v").type == pa.int64()


@pytest.mark.parametrize(
    ("array", "micros"),
    [
        (pa.array([3661], pa.time32("s")), [3_661_000_000]),
        (pa.array([5000], pa.time64("ns")), [5]),
        (pa.array([timedelta(seconds=-90)]), [-90_000_000]),
        (pa.array([2], pa.duration("s")), [2_000_000]),
        (pa.array([[2], None], pa.list_(pa.duration("ms"))), [[2000], None]),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.time32("ms"))), [[("k", 1000)]]),
        (pa.array([{"t": 1}, None], pa.struct([("t", pa.time64("us"))])), [{"t": 1}, None]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_times_of_day_and_durations_are_stored_as_microseconds(array: pa.Array, micros: list[Any]) -> None:
    assert column(array).to_pylist() == micros


@pytest.mark.parametrize("kind", [pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.time64("ns"), pa.duration("ns")])
@pytest.mark.parametrize(("rule", "expected"), [("round", [0, 2, 2, 2, 3, None]), ("truncate", [0, 1, 1, 2, 2, None])])
def test_digits_below_a_microsecond_are_rounded_or_truncated_where_the_dataset_says_so(
    kind: pa.DataType, rule: str, expected: list[int | None]
) -> None:
    array = pa.array([500, 1500, 1501, 2500, 2501, None]).cast(kind)
    assert column(array, policy(subMicroseconds=rule)).cast(pa.int64()).to_pylist() == expected


def test_digits_before_1970_are_truncated_towards_the_past() -> None:
    array = pa.array([-1, -1500, -2500, -2000], pa.int64()).cast(pa.timestamp("ns"))
    assert column(array, policy(subMicroseconds="truncate")).cast(pa.int64()).to_pylist() == [-1, -2, -3, -2]
    assert column(array, policy(subMicroseconds="round")).cast(pa.int64()).to_pylist() == [0, -2, -2, -2]


def test_the_last_time_of_a_day_is_not_rounded_to_the_next_day() -> None:
    last = 86_399_999_999
    array = pa.array([last * 1000 + 499, last * 1000 + 500], pa.time64("ns"))
    assert column(array, policy(subMicroseconds="truncate")).to_pylist() == [last, last]
    with pytest.raises(InvalidData, match=r"row 1: 23:59:59\.999999500 .* rounds to 24:00") as caught:
        column(array, policy(subMicroseconds="round"))
    assert "truncate" in caught.value.hint


LOCAL = pa.array([[datetime(2026, 1, 1)], None])


def test_local_timestamps_are_taken_for_utc_at_any_depth_where_the_dataset_says_so() -> None:
    result = column(LOCAL, policy(localTimestamps="utc"))
    assert result.type == pa.list_(TIMESTAMP_UTC)
    assert result.to_pylist() == [[datetime(2026, 1, 1, tzinfo=UTC)], None]


def test_a_column_that_is_local_already_stays_so() -> None:
    assert column(LOCAL, policy(localTimestamps="utc"), pa.list_(TIMESTAMP)).to_pylist() == LOCAL.to_pylist()


def test_local_timestamps_are_refused_where_the_dataset_says_so() -> None:
    with pytest.raises(InvalidData, match=r"'v\[\]' has type timestamp without a time zone") as caught:
        column(LOCAL, policy(localTimestamps="refuse"))
    assert "schema.localTimestamps" in caught.value.hint
    assert column(pa.array([datetime(2026, 1, 1, tzinfo=UTC)]), policy(localTimestamps="refuse")).null_count == 0

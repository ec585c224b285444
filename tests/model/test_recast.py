"""A change of type keeps every value of a column unchanged, or names the value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from timestore_pipeline.model.declared import parse_type
from timestore_pipeline.model.recast import LEEWAYS, Leeway, needs_a_zone, recast
from timestore_pipeline.staging.engine import open_engine

REFUSED = "refused"
EXACT, PARSE, UTC_TIMES = Leeway(), Leeway(parse=True), Leeway(local_is_utc=True)
NAN, INFINITY = float("nan"), float("inf")
NOON, LOCAL_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 12)


def changed(values: Sequence[Any], old: str, new: str, leeway: Leeway = EXACT) -> list[Any]:
    """The values in the new type; `REFUSED` in the place of those that would be others."""
    before, after = parse_type(old).type, parse_type(new).type
    rows = pa.table({"the x": pa.array(values, before)})
    becomes = recast('"the x"', before, after, leeway)
    with open_engine() as connection:
        connection.register("given", rows)
        found = connection.sql(f"SELECT {becomes.kept} AS kept, {becomes.value} AS v FROM given").to_arrow_table()
    assert found["kept"].null_count == 0
    pairs = zip(found["kept"].to_pylist(), found["v"].to_pylist(), strict=True)
    return [value if kept else REFUSED for kept, value in pairs]


@pytest.mark.parametrize(
    ("old", "new", "values", "expected"),
    [
        ("int64", "double", [1, 2**53 + 1, 2**60, None], [1.0, REFUSED, 2.0**60, None]),
        ("int64", "decimal(38,2)", [1, 2**62], [Decimal("1.00"), Decimal(2**62)]),
        ("int64", "decimal(38,37)", [9, 10], [Decimal(9), REFUSED]),
        ("double", "int64", [1.0, 2.5, -0.0, NAN, 1e300, 2.0**60], [1, REFUSED, REFUSED, REFUSED, REFUSED, 2**60]),
        ("double", "decimal(38,3)", [1.5, 0.1, -0.0, NAN], [Decimal("1.500"), Decimal("0.100"), REFUSED, REFUSED]),
        ("decimal(38,2)", "decimal(38,4)", [Decimal("1.25")], [Decimal("1.2500")]),
        ("decimal(38,2)", "decimal(38,1)", [Decimal("1.50"), Decimal("1.25")], [Decimal("1.5"), REFUSED]),
        ("decimal(38,2)", "double", [Decimal("0.12"), Decimal("12345678901234567890.12")], [0.12, REFUSED]),
        ("decimal(38,2)", "int64", [Decimal("5.00"), Decimal("5.10")], [5, REFUSED]),
        ("date", "timestamp", [date(2026, 1, 1), None], [datetime(2026, 1, 1, tzinfo=UTC), None]),
        ("date", "local_timestamp", [date(2026, 1, 1)], [datetime(2026, 1, 1)]),
        ("local_timestamp", "date", [datetime(2026, 1, 1), LOCAL_NOON], [date(2026, 1, 1), REFUSED]),
        ("bool", "int64", [True, None], [REFUSED, None]),
        ("int64", "date", [1], [REFUSED]),
    ],
)
def test_numbers_and_times(old: str, new: str, values: list[Any], expected: list[Any]) -> None:
    assert changed(values, old, new) == expected


@pytest.mark.parametrize(
    ("old", "value", "text"),
    [
        ("int64", 5, "5"),
        ("double", 5.0, "5.0"),
        ("double", -0.0, "-0.0"),
        ("double", 0.1, "0.1"),
        ("decimal(38,2)", Decimal("5.00"), "5.00"),
        ("bool", True, "true"),
        ("date", date(2026, 1, 1), "2026-01-01"),
        ("timestamp", NOON, "2026-01-01T12:00:00Z"),
        ("local_timestamp", LOCAL_NOON, "2026-01-01T12:00:00"),
        ("binary", "grün".encode(), "grün"),
        ("struct<a: int64, b: string>", {"a": 1, "b": "'\""}, '{"a":1,"b":"\'\\""}'),
        ("list<double>", [1.5, -0.0], "[1.5,-0.0]"),
        ("map<string, int64>", [("a", 1)], '{"a":1}'),
    ],
)
def test_everything_has_a_text_that_comes_back(old: str, value: Any, text: str) -> None:
    assert changed([value, None], old, "string") == [text, None]
    assert changed([text], "string", old) == [value]


def test_bytes_that_are_no_text_do_not_become_one() -> None:
    assert changed([b"\xff"], "binary", "string") == [REFUSED]


@pytest.mark.parametrize(
    ("new", "kept", "parsed", "refused"),
    [
        ("int64", {"5": 5, "-5": -5}, {"05": 5, "+5": 5, " 5": 5, "5.0": 5}, ["5.5", "1_000", "0x1f", "9" * 20, ""]),
        ("double", {"5": 5.0, "5.0": 5.0, "0.1": 0.1, "1e+20": 1e20}, {"05": 5.0, "5.50": 5.5, ".5": 0.5, "1e3": 1e3},
         ["nan", "inf", "1e400", "1e-400", "0.12345678901234567", "NA", ""]),
        ("decimal(38,2)", {"5": Decimal(5), "5.00": Decimal(5), "1.5": Decimal("1.5")},
         {"1.500": Decimal("1.5"), "01": Decimal(1)}, ["1.505", "1e3", ""]),
        ("bool", {"true": True, "false": False}, {"TRUE": True}, ["1", "t", ""]),
        ("date", {"2026-01-01": date(2026, 1, 1)}, {"2026-1-1": date(2026, 1, 1)}, ["2026-02-30", "01.01.2026", ""]),
        ("timestamp",
         {"2026-01-01T12:00:00Z": NOON, "2026-01-01 12:00:00+00": NOON, "2026-01-01T12:00:00.000000+00:00": NOON},
         {"2026-01-01T14:00:00+02:00": NOON, "2026-01-01 12:00Z": NOON},
         ["2026-01-01T12:00:00", "2026-01-01T12:00:00.1234567Z", "2026-01-01T24:00:00Z", "2026-01-01", ""]),
        ("local_timestamp", {"2026-01-01T12:00:00": LOCAL_NOON, "2026-01-01 12:00:00.0": LOCAL_NOON},
         {"2026-01-01 12:00": LOCAL_NOON}, ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00.1234567", ""]),
    ],
)  # fmt: skip
def test_text(new: str, kept: dict[str, Any], parsed: dict[str, Any], refused: list[str]) -> None:
    texts = [*kept, *parsed, *refused]
    assert changed(texts, "string", new) == [*kept.values(), *[REFUSED] * (len(parsed) + len(refused))]
    assert changed(texts, "string", new, PARSE) == [*kept.values(), *parsed.values(), *[REFUSED] * len(refused)]


def test_local_times_are_instants_only_where_they_are_said_to_be_in_utc() -> None:
    assert changed([LOCAL_NOON], "local_timestamp", "timestamp") == [REFUSED]
    assert changed([LOCAL_NOON], "local_timestamp", "timestamp", UTC_TIMES) == [NOON]
    assert changed([NOON], "timestamp", "local_timestamp", UTC_TIMES) == [LOCAL_NOON]
    assert changed(["2026-01-01T12:00:00"], "string", "timestamp", UTC_TIMES) == [NOON]


def test_nested_values_are_cast_like_leaves() -> None:
    old, new = "struct<a: int64, b: string>", "struct<a: double, b: string, c: date>"
    given = [{"a": 1, "b": "x"}, {"a": 2**53 + 1, "b": None}, {"a": None, "b": None}, None]
    expected = [{"a": 1.0, "b": "x", "c": None}, REFUSED, {"a": None, "b": None, "c": None}, None]
    assert changed(given, old, new) == expected
    assert changed([[[1], []], [[2**53 + 1]], None], "list<list<int64>>", "list<list<double>>") == [
        [[1.0], []], REFUSED, None,
    ]  # fmt: skip
    assert changed([[("1", 1)], [("x", 1)], [], None], "map<string, int64>", "map<int64, double>") == [
        [(1, 1.0)], REFUSED, [], None,
    ]  # fmt: skip


def test_keys_of_a_map_that_would_become_one_are_refused() -> None:
    given = [[("1", 1), ("01", 2)], [("1", 1), ("2", 2)]]
    assert changed(given, "map<string, int64>", "map<int64, int64>", PARSE) == [REFUSED, [(1, 1), (2, 2)]]


def test_a_field_that_goes_must_have_been_empty() -> None:
    given = [{"a": 1, "b": "x"}, {"a": 1, "b": None}, None]
    assert changed(given, "struct<a: int64, b: string>", "struct<a: int64>") == [REFUSED, {"a": 1}, None]


def test_a_list_that_never_had_an_element_becomes_a_list_of_anything() -> None:
    given = [[], [None], ["x"], None]
    assert changed(given, "list<string>", "list<struct<a: map<string, date>>>") == [[], [None], REFUSED, None]


def test_zones_are_asked_for_at_any_depth() -> None:
    inside, instants = (parse_type(f"list<struct<at: {kind}>>").type for kind in ("local_timestamp", "timestamp"))
    assert needs_a_zone(inside, instants)
    assert not needs_a_zone(inside, inside)
    assert not needs_a_zone(pa.string(), pa.timestamp("us", "UTC"))


def test_every_leeway_has_a_name_of_its_own() -> None:
    assert {str(leeway) for leeway in LEEWAYS.values()} == LEEWAYS.keys()
    assert LEEWAYS["exact"] == EXACT
    assert len(LEEWAYS) == 4

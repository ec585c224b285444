"""Whatever a program prints of a number comes back as that number, or as the text it printed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.ingest.formats.numbers import are_numbers, keeps, numbers_of

CELLS = st.from_regex(r"[+-]?[0-9]{0,22}\.?[0-9]{0,22}([eE][+-]?[0-9]{1,4})?", fullmatch=True)


def column(*cells: str) -> pa.Array | None:
    """The cells as a column of numbers; None = they stay text."""
    text = pa.array(cells, pa.string())
    if not all(are_numbers(text).to_pylist()):
        return None
    found = numbers_of(text)
    type_ = found.type() if found is not None else None
    return None if type_ is None else text.cast(type_)


def same(cell: str, value: Any) -> bool:
    """Whether nothing of the cell is lost but zeros at the end of its fraction."""
    if isinstance(value, float) and not math.isfinite(value):
        return cell.lower() == repr(value)
    if Decimal(cell).is_zero() and cell.startswith("-"):
        return math.copysign(1, value) < 0 if isinstance(value, float) else False
    shortest = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return Decimal(cell) in (shortest, Decimal(value))


def java(number: float) -> str:
    """As `Double.toString` prints it."""
    digits, _, exponent = repr(number).partition("e")
    return f"{digits if '.' in digits else digits + '.0'}E{int(exponent)}" if exponent else digits


def javascript(number: float) -> str:
    text = repr(number)
    return text.removesuffix(".0") if "e" not in text else text.replace("e-0", "e-")


PRINTERS: dict[str, Callable[[float], str]] = {
    "python": repr,
    "java": java,
    "javascript": javascript,
    "json": json.dumps,
    "printf %.17g": lambda number: f"{number:.17g}",
    "printf %f": lambda number: f"{number:f}",
    "numpy.savetxt": lambda number: f"{number:.18e}",
    "polars": lambda number: pl.DataFrame({"v": [number]}).write_csv(include_header=False).strip(),
    "duckdb": lambda number: duckdb.execute("SELECT ?::DOUBLE::VARCHAR", [number]).fetchall()[0][0],
}


@given(number=st.floats(allow_nan=False, allow_infinity=False), printer=st.sampled_from(sorted(PRINTERS)))
def test_what_a_program_prints_of_a_float_is_kept_or_text(number: float, printer: str) -> None:
    cell = PRINTERS[printer](number)
    found = column(cell)
    assert found is None or same(cell, found[0].as_py())


@given(number=st.floats(allow_nan=False, allow_infinity=False), printer=st.sampled_from(["python", "java", "json"]))
def test_the_shortest_digits_of_a_float_are_that_float(number: float, printer: str) -> None:
    found = column(PRINTERS[printer](number), "0.5")
    assert found is not None
    assert repr(found[0].as_py()) == repr(number)


@given(st.integers(-(10**40), 10**40))
def test_an_integer_is_kept_or_text(number: int) -> None:
    found = column(str(number))
    assert (found is None) == (len(str(abs(number))) > 38)
    assert found is None or int(found[0].as_py()) == number


@given(st.lists(CELLS | st.integers().map(str) | st.floats().map(repr), min_size=1, max_size=4))
def test_no_column_of_numbers_changes_a_cell(cells: list[str]) -> None:
    found = column(*cells)
    if found is not None:
        for cell, value in zip(cells, found.to_pylist(), strict=True):
            assert same(cell, value), f"{cell} became {value}"


@pytest.mark.parametrize(
    "cell",
    ["007", "-01", "00.5", "+1", "1.", ".5", "0x1f", "1_000", "1,000", " 1", "12e4", "12e4567", "1E400", "1e5", "1e",
     "Infinity", "Nan", "NAN", "+inf", "NaN", "inf", "--1", "1-1", "١", "1e-400", "9" * 39, "-0.0e5", "0e0", ""],
)  # fmt: skip
def test_a_cell_that_would_lose_something_alone_is_text(cell: str) -> None:
    assert column(cell) is None


@pytest.mark.parametrize(
    ("cells", "type_"),
    [
        (["0", "-1", "9223372036854775807"], pa.int64()),
        (["9223372036854775808"], pa.decimal128(38, 0)),
        (["1", "2.50"], pa.float64()),
        (["-0", "1"], pa.float64()),
        (["1e-07", "1.5E+20", "1.5E7", "0.000000000000000000e+00"], pa.float64()),
        (["NaN", "inf", "-inf", "nan", "1"], pa.float64()),
        (["9007199254740993", "0.5"], pa.decimal128(38, 1)),
        (["0.10000000000000001"], pa.decimal128(38, 17)),
        (["100000000000000000000000", "0.5"], pa.decimal128(38, 1)),
        (["1" * 37, "0.25"], None),
        (["9007199254740993", "NaN"], None),
        (["9007199254740993", "1e-07"], None),
        (["9007199254740993", "0.5", "-0.0"], None),
    ],
    ids=repr,
)
def test_the_narrowest_type_that_keeps_every_digit_is_taken(cells: list[str], type_: pa.DataType | None) -> None:
    found = column(*cells)
    assert (found and found.type) == type_


@pytest.mark.parametrize(
    ("cell", "kept"), [("0.1", True), ("0.10", True), ("0.10000000000000001", False), ("2e308", False)]
)
def test_a_double_keeps_the_digits_that_come_back(cell: str, kept: bool) -> None:
    assert keeps(cell) is kept

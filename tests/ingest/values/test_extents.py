"""Least and greatest values, of few rows and of many alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from timestore_pipeline.ingest.values.extents import ends_of

TYPES = [pa.int64(), pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.date32(), pa.time64("us")]


@pytest.mark.parametrize("many", [1, 100], ids=["few", "many"])
@pytest.mark.parametrize("type_", TYPES, ids=str)
@pytest.mark.parametrize(
    ("values", "ends"),
    [([3, 1, 2], (1, 3)), ([7], (7, 7)), ([None, 5, 4], (4, 5)), ([None], (None, None)), ([], (None, None))],
)
def test_ends_are_the_numbers_as_stored(
    type_: pa.DataType, many: int, values: list[Any], ends: tuple[Any, Any]
) -> None:
    array = pa.array(values * many, type_)
    assert ends_of(array) == ends
    assert ends_of(pa.chunked_array([array, array])) == ends
    assert ends_of(pa.chunked_array([], type_)) == (None, None)


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_a_slice_shows_nothing_of_the_whole(type_: pa.DataType) -> None:
    assert ends_of(pa.array([9, 2, 3, 0], type_).slice(1, 2)) == (2, 3)


@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1])
def test_numbers_reach_as_far_as_their_type(number: int) -> None:
    assert ends_of(pa.array([0, number])) == (min(0, number), max(0, number))


def test_decimals_keep_their_fraction() -> None:
    numbers = pa.array([Decimal("0.5"), Decimal("-2.25")], pa.decimal128(38, 2))
    assert ends_of(numbers) == (Decimal("-2.25"), Decimal("0.50"))

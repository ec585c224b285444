from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.flush.shares import FEWEST, MOST, runs
from timestore_pipeline.model.lake import PartitionKey

TIMELESS = PartitionKey("partition_date", None)


def days(count: int) -> list[PartitionKey]:
    first = date(2026, 1, 1)
    return [PartitionKey("partition_date", (first + timedelta(days=day)).isoformat()) for day in range(count)]


@given(st.lists(st.integers(1, 120), max_size=40), st.booleans(), st.integers(1, 300))
def test_every_partition_is_in_one_run_in_order_and_runs_are_small(
    counts: list[int], timeless: bool, most_rows: int
) -> None:
    partitions = dict(zip([TIMELESS] * timeless + days(40), counts, strict=False))
    found = list(runs(partitions, most_rows))
    assert [key for run in found for key in run] == list(partitions)
    for run in found:
        assert len(run) == 1 or (len(run) >= FEWEST and sum(partitions[key] for key in run) <= most_rows)
        assert len(run) == 1 or TIMELESS not in run


@pytest.mark.parametrize(("count", "lengths"), [(0, []), (FEWEST - 1, [1] * (FEWEST - 1)), (MOST + 9, [MOST, 9])])
def test_a_run_is_worth_it_and_bounded(count: int, lengths: list[int]) -> None:
    assert [len(run) for run in runs(dict.fromkeys(days(count), 1), 10_000)] == lengths


def test_a_large_partition_stands_alone() -> None:
    keys = days(2 * FEWEST + 1)
    partitions = dict.fromkeys(keys, 1) | {keys[FEWEST]: 1_000_000}
    assert [len(run) for run in runs(partitions, 10_000_000)] == [FEWEST, 1, FEWEST]

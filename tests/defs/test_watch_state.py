"""What the watch sensor keeps in its cursor."""

from __future__ import annotations

import pytest

from timestore_pipeline.defs.watch_tick import MOST_REMEMBERED, Observed, WatchState


def test_a_cursor_is_read_as_it_was_written() -> None:
    state = WatchState("weather", ("flights",), {"flights": Observed(1, 2, 3, 4, 5)}, 6, 7)
    assert WatchState.parse(state.to_cursor()) == state


@pytest.mark.parametrize("cursor", [None, "", "no json", "[]", "3", '{"unknown": 1}', '{"observed": {"a": [1]}}'])
def test_a_cursor_that_is_none_of_ours_counts_as_none(cursor: str | None) -> None:
    assert WatchState.parse(cursor) == WatchState()


def test_a_full_cursor_stays_small() -> None:
    names = [f"dataset-with-a-long-name-{number:03}" for number in range(MOST_REMEMBERED)]
    seen = Observed(10**15, 10**9, 10**12, 10**12, 10**6)
    state = WatchState(names[0], tuple(names[:50]), dict.fromkeys(names, seen), 10**15, 10**4)
    assert len(state.to_cursor()) < 25_000

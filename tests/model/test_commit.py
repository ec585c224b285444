"""The metadata of a commit can be read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.model.batch import batch_id
from timestore_pipeline.model.lake import batches_to_ranges, claimed_at_micros, ranges_to_batches


def test_sequences_are_written_as_ranges() -> None:
    ids = [batch_id("a", n) for n in (0, 1, 2, 5, 7, 8)] + [batch_id("b-c", 3)]
    assert batches_to_ranges(ids) == {"a": "0-2,5,7-8", "b-c": "3"}


@given(st.sets(st.tuples(st.sampled_from("ab"), st.integers(0, 2_000_000))))
def test_ranges_give_back_exactly_the_batches(batches: set[tuple[str, int]]) -> None:
    ids = {batch_id(segment, sequence) for segment, sequence in batches}
    assert set(ranges_to_batches(batches_to_ranges(ids))) == ids


@pytest.mark.parametrize(("claim", "micros"), [("run/7/123", 123), ("run", 0), ("", 0)])
def test_a_claim_id_contains_its_instant(claim: str, micros: int) -> None:
    assert claimed_at_micros(claim) == micros

"""Every value comes out as it went in, or is refused by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from tests.values.bench import Bench, Example, doors_for
from tests.values.examples import ONE_BATCH, SEQUENCES, TOGETHER
from tests.values.kept import KEPT

# A minute together, the same in every run, so that a red one is about the change; `python -m tests.values` goes on.
ONE_BATCH_EXAMPLES, TOGETHER_EXAMPLES, SEQUENCE_EXAMPLES = 120, 50, 150  # together: three to eight batches


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as opened:
        yield opened


@pytest.mark.slow
@settings(max_examples=ONE_BATCH_EXAMPLES, derandomize=True)
@given(ONE_BATCH)
def test_a_batch_comes_out_as_it_went_in(bench: Bench, example: Example) -> None:
    bench.run(example)


@pytest.mark.slow
@settings(max_examples=TOGETHER_EXAMPLES, derandomize=True)
@given(TOGETHER)
def test_so_do_batches_side_by_side(bench: Bench, example: Example) -> None:
    bench.run(example)


@pytest.mark.slow
@settings(max_examples=SEQUENCE_EXAMPLES, derandomize=True)
@given(SEQUENCES)
def test_so_does_every_batch_of_a_dataset_that_changes(bench: Bench, example: Example) -> None:
    bench.run(example)


@pytest.mark.parametrize("name", KEPT)
def test_what_was_once_wrong_stays_right(bench: Bench, name: str) -> None:
    for door in _doors(KEPT[name]):
        bench.run(KEPT[name].through(door))


def _doors(example: Example) -> list[str]:
    return sorted({door for step in example.steps if step.batch for door in doors_for(step.batch.payload)})

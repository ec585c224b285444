"""Whole lives of datasets: one batch through any door, several side by side, or several that change one table."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.values.bench import Example, Step, doors_for
from tests.values.csv_files import broken, csv, plain_csv
from tests.values.declared import DECLARED
from tests.values.json_files import broken_json, json_lines
from tests.values.kinds import Batch, reused
from tests.values.plain import STRICT, Fraction, Local, Policy
from tests.values.sources import LIBRARIES, NAMES

_ROWS = 4  # the most of one batch
_FEW_NAMES = st.sampled_from(["v", "w"])
_POLICIES = st.one_of(st.just(STRICT), st.builds(Policy, st.sampled_from(Fraction), st.sampled_from(Local)))
_LAYOUTS = st.sampled_from([{}, {}, *({"partition": {"granularity": unit}} for unit in ("hour", "month", "none"))])
_FEW_FILES = st.sampled_from([{"partition": {"granularity": unit}} for unit in ("month", "none", "none")])


@reused
def batches(
    first: int, names: st.SearchStrategy[str], policy: Policy, *, known: bool = False
) -> st.SearchStrategy[Batch]:
    """From any source. known: a column may have a type already, by which a string of JSON is read."""
    written = [csv(first, names, policy, known=known), json_lines(first, names, policy, known=known)]
    return st.one_of(*(make(first, names) for make in LIBRARIES.values()), *written)


@reused
@st.composite
def _steps(draw: st.DrawFn, found: st.SearchStrategy[Batch]) -> Step:
    batch = draw(found)
    return Step(batch, draw(st.sampled_from(doors_for(batch.payload))))


@st.composite
def _one_batch(draw: st.DrawFn) -> Example:
    policy: Policy = draw(_POLICIES)
    found = draw(st.sampled_from([*[batches(0, NAMES, policy)] * 6, plain_csv(0), *_broken(0)]))
    metadata: dict[str, Any] = draw(_LAYOUTS)
    return Example((draw(_steps(found)),), policy, metadata)


def _broken(first: int) -> list[st.SearchStrategy[Batch]]:
    return [broken(first), broken(first), broken_json(first)]


@st.composite
def _together(draw: st.DrawFn) -> Example:
    """Each batch has columns of its own, as if it were alone; one flush and one reading serve all of them."""
    policy: Policy = draw(_POLICIES)
    steps: list[Step] = []
    for number in range(draw(st.integers(3, 8))):
        first = number * _ROWS
        found = draw(st.sampled_from([*[batches(first, _own_names(number), policy)] * 6, *_broken(first)]))
        steps.append(draw(_steps(found)))
    return Example(tuple(steps), policy, draw(_FEW_FILES))


@reused
def _own_names(number: int) -> st.SearchStrategy[str]:
    return NAMES.map(lambda name: f"{name}_{number}")


@st.composite
def _declared(draw: st.DrawFn) -> Example:
    batch, metadata = draw(DECLARED)
    return Example((Step(batch, draw(st.sampled_from(doors_for(batch.payload)))),), STRICT, metadata)


@st.composite
def _sequences(draw: st.DrawFn) -> Example:
    policy: Policy = draw(_POLICIES)
    steps: list[Step] = []
    for number in range(draw(st.integers(2, 3))):
        steps.append(draw(_steps(batches(number * _ROWS, _FEW_NAMES, policy, known=number > 0))))
        if draw(st.booleans()):
            steps.append(Step())
    return Example(tuple(steps), policy, draw(_LAYOUTS))


TOGETHER = _together()
ONE_BATCH = st.one_of(_one_batch(), _one_batch(), _one_batch(), _declared())
SEQUENCES = _sequences()

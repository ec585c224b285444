"""Every step x dies or fails x before, during, after: the fault fires, and nothing is lost, doubled or left over.

The moment before a step is left to the night where the step can be interrupted: to die there is to die after the step
before it, and to fail there is to fail in it. `python -m tests.crash` prints all of it as a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.crash.kernel import is_available
from tests.crash.matrix import KINDS, changes_in, run_case
from tests.crash.steps import MOMENTS, STEPS, Step
from tests.services.require import require

EVERY_STEP = pytest.mark.parametrize("step", STEPS, ids=[step.name for step in STEPS])


@pytest.mark.parametrize("kind", KINDS)
@EVERY_STEP
def test_a_step_that_is_interrupted_loses_nothing_and_doubles_nothing(step: Step, kind: str) -> None:
    moments = [moment for moment in step.moments if moment != "before" or "during" not in step.moments]
    assert_made_good(step, moments, kind)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
@EVERY_STEP
def test_a_step_that_is_never_begun_loses_nothing_and_doubles_nothing(step: Step, kind: str) -> None:
    assert_made_good(step, ["before"], kind)


def assert_made_good(step: Step, moments: Sequence[str], kind: str) -> None:
    require("seccomp user notification", available=is_available(), remedy="Linux 5.5 or newer on x86-64")
    for moment in moments:
        case = run_case(step, moment, kind)
        assert case.fired, f"the fault {case.fault} did not fire"
        assert case.problems == [], (case.fault, case.errors)


def test_a_step_that_is_never_interrupted_inside_changes_no_file() -> None:
    require("seccomp user notification", available=is_available(), remedy="Linux 5.5 or newer on x86-64")
    uninterrupted = [step for step in STEPS if step.moments != MOMENTS]
    assert [step.name for step in uninterrupted if changes_in(step)] == []

"""Every step x dies or fails x before, during, after: the fault fires, and nothing is lost, doubled or left over.

`python -m tests.crash` prints the same as a table.
"""

from __future__ import annotations

import pytest

from tests.crash.kernel import is_available
from tests.crash.matrix import KINDS, changes_in, run_case
from tests.crash.steps import MOMENTS, STEPS, Step
from tests.services.require import require


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS, ids=[step.name for step in STEPS])
def test_a_step_that_is_interrupted_loses_nothing_and_doubles_nothing(step: Step, kind: str) -> None:
    require("seccomp user notification", available=is_available(), remedy="Linux 5.5 or newer on x86-64")
    for moment in step.moments:
        case = run_case(step, moment, kind)
        assert case.fired, f"the fault {case.fault} did not fire"
        assert case.problems == [], (case.fault, case.errors)


def test_a_step_that_is_never_interrupted_inside_changes_no_file() -> None:
    require("seccomp user notification", available=is_available(), remedy="Linux 5.5 or newer on x86-64")
    uninterrupted = [step for step in STEPS if step.moments != MOMENTS]
    assert [step.name for step in uninterrupted if changes_in(step)] == []

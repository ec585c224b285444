"""Killed, and failed, at a sample of the system calls by which one enqueue and one flush change files.

`python -m tests.crash walk` goes through all of them.
"""

from __future__ import annotations

import pytest

from tests.crash.kernel import is_available
from tests.crash.walk import Sample, run_walk
from tests.services.require import require

MOST_UNFIRED = 0.1  # of the hits: a run may need fewer calls than the one they were counted in


@pytest.mark.slow
@pytest.mark.parametrize(
    "sample",
    [Sample(writes=80, others=8), pytest.param(Sample(writes=40, others=4), marks=pytest.mark.nightly)],
    ids=["small", "large"],
)
def test_no_system_call_is_a_bad_place_to_fail_or_to_die(sample: Sample) -> None:
    require("seccomp user notification", available=is_available(), remedy="Linux 5.5 or newer on x86-64")
    cases = run_walk(lambda _: None, sample)
    assert [(case.fault, case.problems, case.errors) for case in cases if case.problems] == []
    assert sum(not case.fired for case in cases) <= MOST_UNFIRED * len(cases)

"""Killed, and failed, at a sample of the system calls by which an enqueue, a flush and a roll-up change files.

`python -m tests.crash walk` goes through all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash.kernel import Call, is_available
from tests.crash.matrix import undisturbed
from tests.crash.walk import Sample, run_walk
from tests.services.require import require

MOST_UNFIRED = 0.1  # of the hits: a run may need fewer calls than the one they were counted in


@pytest.mark.slow
@pytest.mark.parametrize(
    ("situation", "sample"),
    [
        ("nothing", Sample(writes=80, others=8)),
        pytest.param("nothing", Sample(writes=40, others=4), marks=pytest.mark.nightly),
        pytest.param("recovered producer", Sample(writes=40, others=4), marks=pytest.mark.nightly),
    ],
    ids=["small", "large", "roll-up"],
)
def test_no_system_call_is_a_bad_place_to_fail_or_to_die(situation: str, sample: Sample) -> None:
    require("seccomp user notification", available=is_available(), remedy="Linux 5.5 or newer on x86-64")
    cases = run_walk(lambda _: None, sample, situation)
    assert [(case.fault, case.problems, case.errors) for case in cases if case.problems] == []
    assert sum(not case.fired for case in cases) <= MOST_UNFIRED * len(cases)


@pytest.fixture
def calls() -> Sequence[Call]:
    require("seccomp user notification", available=is_available(), remedy="Linux 5.5 or newer on x86-64")
    return undisturbed("nothing")


@pytest.mark.parametrize("promise", ["ledger promise", "another ledger promise"])
def test_a_record_is_flushed_before_the_ledger_promises_it_and_the_promise_before_it_returns(
    calls: Sequence[Call], promise: str
) -> None:
    first, last = where(calls, promise)
    written = [call.name for call in calls[:first] if call.path.endswith(".journal")]
    assert written[-2:] == ["writev", "fdatasync"]
    in_log = [call.name for call in calls[first : last + 1] if call.path.endswith("ledger.sqlite-wal")]
    assert in_log[0] == "pwrite64"
    assert in_log[-1] in {"fsync", "fdatasync"}


def test_a_segment_is_flushed_then_named_then_its_folder_flushed_before_batches_move_to_it() -> None:
    require("seccomp user notification", available=is_available(), remedy="Linux 5.5 or newer on x86-64")
    calls = undisturbed("recovered producer")
    first, last = where(calls, "write segment")
    inside = [call for call in calls[first : last + 1] if "write segment" in call.steps]
    assert [(call.name, Path(call.path).suffix) for call in inside[-3:]] == [
        ("fsync", ".building"),
        ("rename", ".duckdb"),
        ("fsync", ""),
    ]
    assert last < where(calls, "move batches")[0]


def where(calls: Sequence[Call], step: str) -> tuple[int, int]:
    """Positions of the first and the last call in a step."""
    inside = [position for position, call in enumerate(calls) if step in call.steps]
    return inside[0], inside[-1]

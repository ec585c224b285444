"""Every system call by which one enqueue and one flush change a file: killed there, and failed there.

A full walk is `python -m tests.crash walk`; the tests walk through every call that makes something durable or visible
and a sample of the plain writes, which differ in nothing but their number.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.crash.kernel import Call, Judge, Verdict
from tests.crash.matrix import KINDS, SITUATIONS, Case, begin, ending, judge, outcome, run_watched, undisturbed

_WRITES = {"write", "pwrite64", "writev", "pwritev"}


def calls_to_hit(situation: str, every: int) -> Iterator[tuple[str, str, int]]:
    """(name, path's suffix, which one of these): all that are no plain writes, and each `every`-th write."""
    counts: dict[tuple[str, str], int] = {}
    writes = 0
    for call in undisturbed(situation):
        kind = kind_of(call)
        counts[kind] = counts.get(kind, 0) + 1
        writes += call.name in _WRITES
        if call.name not in _WRITES or writes % every == 0:
            yield (*kind, counts[kind])


def kind_of(call: Call) -> tuple[str, str]:
    """What stays the same from run to run: segments and files have random names."""
    return call.name, Path(call.path).suffix or Path(call.path).name


def run_hit(situation: str, name: str, suffix: str, position: int, kind: str) -> Case:
    """A fault at the n-th call of one kind. Not fired = this run needed fewer of them, which is no finding."""
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        home = begin(Path(folder), situation)
        code, watch = run_watched(home, SITUATIONS[situation][0], _at((name, suffix), position, kind))
        fault = (f"{name} {suffix} #{position}", "during", kind)
        killed = kind == "die" and code == -signal.SIGKILL
        problems = ending(home, code, kind) if watch.fired is not None or killed else []
        return Case(fault, watch.fired is not None, [*problems, *judge(home)], outcome(home)["errors"])


def run_walk(told: Callable[[Case], None], every: int, situation: str = "nothing") -> list[Case]:
    """All hits, two at a time."""
    hits = [(hit, kind) for hit in calls_to_hit(situation, every) for kind in KINDS]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda each: _told(told, run_hit(situation, *each[0], each[1])), hits))


def _told(told: Callable[[Case], None], case: Case) -> Case:
    told(case)
    return case


def _at(kind: tuple[str, str], position: int, verdict: str) -> Judge:
    seen = 0

    def judged(call: Call) -> Verdict:
        nonlocal seen
        seen += kind_of(call) == kind
        return verdict if kind_of(call) == kind and seen == position else None

    return judged


def fired_share(cases: Sequence[Case]) -> float:
    return sum(bool(case.fired) for case in cases) / len(cases)

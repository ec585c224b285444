"""Every system call by which one enqueue and one flush change a file: killed there, and failed there.

A full walk is `python -m tests.crash walk`, which takes its time; the tests take a sample.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.crash.kernel import Call, Judge, Verdict
from tests.crash.matrix import (
    KINDS,
    SITUATIONS,
    Case,
    begin,
    ending,
    judge,
    outcome,
    run_watched,
    scratch,
    undisturbed,
)


@dataclass(frozen=True)
class Sample:
    """Every n-th plain write, and every n-th of the calls that make something durable or visible."""

    writes: int = 1
    others: int = 1


_RANDOM = re.compile(r"(?<=^probe-)\d+|(?<=^_tmp-)\w+|(?<=^d-1-)\w+")
_WRITES = {"write", "pwrite64", "writev", "pwritev"}


def calls_to_hit(situation: str, sample: Sample) -> Iterator[tuple[str, str, int]]:
    """(name, path's suffix, which one of these)."""
    counts: dict[tuple[str, str], int] = {}
    seen = {True: 0, False: 0}
    for call in undisturbed(situation):
        kind = kind_of(call)
        counts[kind] = counts.get(kind, 0) + 1
        is_write = call.name in _WRITES
        seen[is_write] += 1
        if seen[is_write] % (sample.writes if is_write else sample.others) == 0:
            yield (*kind, counts[kind])


def kind_of(call: Call) -> tuple[str, str]:
    """What stays the same from run to run: segments and files have random names."""
    name = Path(call.path).name
    return call.name, Path(name).suffix or _RANDOM.sub("", name)


def run_hit(situation: str, hit: tuple[str, str, int], kind: str) -> Case:
    """A fault at the n-th call of one kind. Not fired = this run needed fewer of them, which is no finding."""
    name, suffix, position = hit
    with scratch() as folder:
        home = begin(folder, situation)
        code, watch = run_watched(home, SITUATIONS[situation][0], _at((name, suffix), position, kind))
        fault = (f"{name} {suffix} #{position}", "during", kind)
        problems = ending(home, code, kind) if watch.fired is not None else []
        return Case(fault, watch.fired is not None, [*problems, *judge(home, situation)], outcome(home)["errors"])


def run_walk(told: Callable[[Case], None], sample: Sample, situation: str = "nothing") -> list[Case]:
    """All hits, two at a time."""
    hits = [(hit, kind) for hit in calls_to_hit(situation, sample) for kind in KINDS]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda each: _told(told, run_hit(situation, *each)), hits))


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

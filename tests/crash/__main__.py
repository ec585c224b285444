"""`python -m tests.crash`: the whole matrix as a table; exit code 1 when a fault did not fire or a case came out wrong.

`python -m tests.crash walk` goes through every single system call instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.crash.matrix import KINDS, Case, run_case
from tests.crash.steps import MOMENTS, STEPS, Step
from tests.crash.walk import Sample, run_walk

_COLUMNS = [(kind, moment) for kind in KINDS for moment in MOMENTS]


def main() -> int:
    return _print_walk() if "walk" in sys.argv[1:] else _print_matrix()


def _print_matrix() -> int:
    _tell(f"{'step':28}", (f"{kind} {moment}" for kind, moment in _COLUMNS))
    cases: list[Case] = []
    with ThreadPoolExecutor(2) as pool:
        for step, row in zip(STEPS, pool.map(_row, STEPS), strict=True):
            _tell(f"{step.name:28}", map(_verdict, row))
            cases += [case for case in row if case is not None]
    return _summary(cases)


def _row(step: Step) -> list[Case | None]:
    """None where the step has no such moment."""
    return [run_case(step, moment, kind) if moment in step.moments else None for kind, moment in _COLUMNS]


def _print_walk() -> int:
    cases = run_walk(_told_when_wrong, Sample())
    return _summary(cases)


def _told_when_wrong(case: Case) -> None:
    if case.problems:
        _tell(" ".join(case.fault), case.problems)


def _verdict(case: Case | None) -> str:
    if case is None:
        return "-"
    return ("yes" if case.fired else "DID NOT FIRE") + (" WRONG" if case.problems else "")


def _summary(cases: Sequence[Case]) -> int:
    fired = sum(case.fired for case in cases)
    wrong = [case for case in cases if case.problems or not case.fired]
    _tell(f"{len(cases)} cases: {fired} faults fired, {len(wrong)} wrong", ())
    for case in wrong:
        _tell(" / ".join(case.fault), [*case.problems, *case.errors])
    return 1 if wrong else 0


def _tell(what: str, rest: Iterable[str]) -> None:
    sys.stdout.write(what + " ".join(f"{each:12}" for each in rest).rstrip() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

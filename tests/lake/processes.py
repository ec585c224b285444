"""Real processes that start something at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.services.forked import FORKED

_TIME_OUT = 120  # seconds for a child that should take one


def run_together(calls: Sequence[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    """Run each `function(barrier, *arguments)` in a process of its own; fail when one of them does."""
    barrier = FORKED.Barrier(len(calls), timeout=_TIME_OUT)
    children = [FORKED.Process(target=function, args=(barrier, *arguments)) for function, arguments in calls]
    for child in children:
        child.start()
    for child in children:
        child.join(_TIME_OUT)
    assert [child.exitcode for child in children] == [0] * len(calls)

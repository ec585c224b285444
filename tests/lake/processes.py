"""Real processes that start something at the same moment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

_TIME_OUT = 120  # seconds for a child that should take one


def run_together(calls: Sequence[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    """Run each `function(barrier, *arguments)` in a fresh process; fail when one of them does."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(calls), timeout=_TIME_OUT)
    children = [context.Process(target=function, args=(barrier, *arguments)) for function, arguments in calls]
    for child in children:
        child.start()
    for child in children:
        child.join(_TIME_OUT)
    assert [child.exitcode for child in children] == [0] * len(calls)

"""Real processes that start something at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.services.forked import FORKED, Forked

_TIME_OUT = 120  # seconds for a child that should take one


def run_together(calls: Sequence[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    """Run each `function(barrier, *arguments)` in a process of its own; fail when one of them does."""
    barrier = FORKED.Barrier(len(calls), timeout=_TIME_OUT)
    children = [Forked(function, barrier, *arguments) for function, arguments in calls]
    assert [child.wait() for child in children] == [0] * len(calls)

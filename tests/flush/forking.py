"""Processes for faults to happen to, forked from a warm parent that has imported everything and opened nothing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from functools import cache
from typing import Any

_PATIENCE = 120  # seconds for a victim that should take one
_PRELOADED = ["tests.flush.dying", "tests.flush.dying_aside"]


def run_forked(target: Callable[..., None], *arguments: Any) -> int:
    """Run a function of a module in a process of its own; its exit code, a negative one is the signal that ended it."""
    process = start_forked(target, *arguments)
    process.join(_PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{target.__name__}{arguments} hangs")
    return process.exitcode


def start_forked(target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    process = _context().Process(target=target, args=arguments)
    process.start()
    return process


@cache
def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context

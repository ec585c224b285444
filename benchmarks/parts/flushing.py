"""Flushes, from claim to finalize, and a producer's latency during a large one."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

from benchmarks.parts.producers import quantile
from benchmarks.processes import Worker
from benchmarks.targets import LARGE_FLUSH, MEDIUM_FLUSH
from benchmarks.turns import Execution, Turn

_MANY_DAYS = 3_000
_BESIDE = {  # rows, days: the alternative
    (_MANY_DAYS, _MANY_DAYS): "delta",
    (MEDIUM_FLUSH, _MANY_DAYS): "delta",
    (MEDIUM_FLUSH, 1): "copy",
    (LARGE_FLUSH, 1): "copy",
}
_SLICE_SECONDS = 0.2  # of a producer's turn between two looks at the flush


def flushes(execution: Execution) -> None:
    """Each in a new directory: ours, and `write_deltalake` by day for many days or a bare COPY for one."""
    part = "flushes"
    ways: dict[str, Callable[[Execution, str, int, int], Mapping[str, float]]] = {
        "ours": _flush,
        "copy": _copy,
        "delta": _partitioned,
    }
    turns: dict[str, Turn] = {
        f"{count}x{days}.{who}": partial(_in_new_home, execution, part, ways[who], count, days)
        for (count, days), other in _BESIDE.items()
        for who in ("ours", other)
    }
    with execution.part(part):
        execution.take_turns(part, turns, execution.plan.long_rounds)


def beside_a_flush(execution: Execution) -> None:
    """A producer of ten rows at a time, at rest and during a large flush of another dataset in another process."""
    part, plan = "beside_a_flush", execution.plan
    with execution.part(part) as stack:
        producer = execution.worker(stack, "ours", f"{part}/home")
        operator = execution.worker(stack, "operating", f"{part}/home")
        turns: dict[str, Turn] = {
            "10.resting": lambda: {"p99": quantile(_latencies(producer, plan.group_seconds), 0.99)},
            "10.flushing": partial(_during_a_flush, producer, operator, plan.scaled(LARGE_FLUSH)),
        }
        execution.take_turns(part, turns, plan.long_rounds)


_homes = itertools.count()


def _in_new_home(
    execution: Execution,
    part: str,
    way: Callable[[Execution, str, int, int], Mapping[str, float]],
    count: int,
    days: int,
) -> Mapping[str, float]:
    home = f"{part}/{next(_homes)}"
    try:
        return way(execution, home, execution.plan.scaled(count), execution.plan.scaled(days))
    finally:
        shutil.rmtree(execution.home(home), ignore_errors=True)  # three million rows take space


def _flush(execution: Execution, home: str, count: int, days: int) -> Mapping[str, float]:
    """In a process that has not staged, so that its memory is a flush's alone."""
    with ExitStack() as stack:
        execution.worker(stack, "operating", home).ask("stage", count=count, days=days)
    with ExitStack() as stack:
        found: Mapping[str, float] = execution.worker(stack, "operating", home).ask("flush")
        return found


def _copy(execution: Execution, home: str, count: int, days: int) -> Mapping[str, float]:
    with ExitStack() as stack:
        return {"seconds": execution.worker(stack, "bare_copy", home).ask("copy", count=count, days=days)}


def _partitioned(execution: Execution, home: str, count: int, days: int) -> Mapping[str, float]:
    with ExitStack() as stack:
        return {"seconds": execution.worker(stack, "delta", home).ask("partitioned", count=count, days=days)}


def _during_a_flush(producer: Worker, operator: Worker, count: int) -> Mapping[str, float]:
    operator.ask("stage", count=count, days=1)
    operator.send("flush")
    latencies = _latencies(producer, _SLICE_SECONDS)
    while not operator.answered():
        latencies += _latencies(producer, _SLICE_SECONDS)
    operator.receive()
    return {"p99": quantile(latencies, 0.99)}


def _latencies(producer: Worker, seconds: float) -> list[float]:
    return list(producer.ask("write", destination="small", size=10, seconds=seconds)["latencies"])

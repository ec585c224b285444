"""A search of any size: rounds of examples in several processes, each with its own seed, and what became of them."""

from __future__ import annotations

import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.values.bench import Bench, Example
from tests.values.examples import ONE_BATCH, SEQUENCES, TOGETHER
from tests.values.living import walk
from tests.values.plain import Broken
from timestore_pipeline.system import clock

_ROUND = 500  # examples of one seed: Hypothesis remembers all of them until it ends
_STEPS = 10**9  # of a table that lives on: time ends it
KINDS: dict[str, tuple[st.SearchStrategy[Example], ...]] = {  # in turns
    "all": (TOGETHER, TOGETHER, ONE_BATCH, SEQUENCES),
    "alone": (ONE_BATCH,),  # a dataset each: twice as many examples, and half as many batches
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process does."""

    examples: int
    seconds: float  # it begins no round after so many
    first_seed: int
    stride: int  # between its seeds
    kinds: str = "all"  # of examples


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it. `broken`: at most one per round, the smallest example."""

    counts: Counter[str]
    broken: tuple[str, ...]


def search(
    examples: int, seconds: float, first_seed: int, processes: int, *, kinds: str, living: bool
) -> Iterator[Found]:
    """Each process's result when it is done. living: one process more has a table that lives on."""
    share = -(-examples // processes)
    plans = [Plan(share, seconds, first_seed + number, processes, kinds) for number in range(processes)]
    with ProcessPoolExecutor(processes + living, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(run, plan) for plan in plans]
        if living:
            running.append(pool.submit(live, seconds, first_seed))
        for done in as_completed(running):
            yield done.result()


def live(seconds: float, first_seed: int) -> Found:
    """One table for all that time."""
    _silence()
    try:
        counts = walk(_STEPS, seconds, first_seed)
    except Broken as broken:
        return Found(Counter(), (str(broken),))
    return Found(Counter({f"living table: {name}": count for name, count in counts.items()}), ())


def run(plan: Plan) -> Found:
    """All rounds of one process."""
    _silence()
    started, broken, number, kinds = clock.monotonic(), list[str](), 0, KINDS[plan.kinds]
    with Bench() as bench:
        while number * _ROUND < plan.examples and clock.monotonic() - started < plan.seconds:
            count = min(_ROUND, plan.examples - number * _ROUND)
            broken += one_round(bench, kinds[number % len(kinds)], count, plan.first_seed + number * plan.stride)
            number += 1
        return Found(bench.counts, tuple(broken))


def _silence() -> None:
    """Each of a hundred thousand datasets has something to say that one operator would want to read."""
    logging.getLogger("timestore_pipeline").setLevel(logging.ERROR)


def one_round(
    bench: Bench, strategy: st.SearchStrategy[Example], count: int, number: int, *, smallest: bool = True
) -> list[str]:
    """So many examples of that seed; the one that breaks the promise, if any does, or the smallest like it."""
    found: list[str] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if smallest else [Phase.generate],
        report_multiple_bugs=False,
    )
    @given(strategy)
    def every_example(example: Example) -> None:
        try:
            bench.run(example)
        except Broken as broken:
            found[:] = [f"seed {number}: {broken}"]
            raise

    try:
        every_example()
    except Exception:  # also one that comes of printing the example: not every frame can be printed
        if not found:
            raise
    return found

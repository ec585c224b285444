"""The times that an operator waits: commands, backlog, recovery after `kill -9`, verification; and Dagster's runs."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache

from benchmarks.processes import Worker, python, run
from benchmarks.turns import Execution, Turn

_WAITING = 10_000  # datasets
_VERIFIED = 1_000  # datasets
_STAGED_BYTES = 1_000_000_000
_DUE = 1_000  # datasets
_ALONE = 10  # runs of one dataset each, whose pace is extrapolated


def upkeep(execution: Execution) -> None:
    """In seconds; of CPU for commands."""
    part, plan = "upkeep", execution.plan
    with execution.part(part) as stack:
        commands = execution.worker(stack, "operating", f"{part}/commands")

        @cache
        def one_dataset() -> None:
            commands.ask("stage_many", datasets=1)

        @cache
        def waiting() -> Worker:
            operator = execution.worker(stack, "operating", f"{part}/waiting")
            operator.ask("stage_many", datasets=plan.scaled(_WAITING))
            return operator

        @cache
        def published() -> Worker:
            operator = execution.worker(stack, "operating", f"{part}/published")
            operator.ask("stage_many", datasets=plan.scaled(_VERIFIED))
            operator.ask("flush_all")
            return operator

        def status() -> Mapping[str, float]:
            one_dataset()
            return {"seconds": commands.ask("command", arguments=["status"])}

        turns: dict[str, Turn] = {
            "version.ours": lambda: {"seconds": commands.ask("command", arguments=["--version"])},
            "status.ours": status,
            "backlog.ours": lambda: {"seconds": waiting().ask("backlog")},
            "verify.ours": lambda: {"seconds": published().ask("verify")},
            "recovery.ours": lambda: _recovery(execution, part),
        }
        execution.take_turns(part, turns, plan.long_rounds)


def dagster_runs(execution: Execution) -> None:
    """A real daemon, code server, run queue and run workers. Once: it takes minutes."""
    part, plan = "dagster_runs", execution.plan
    with execution.part(part):
        home = execution.home(part)
        arguments = (home, plan.scaled(_DUE), plan.scaled(_ALONE))
        found = json.loads(run(python("benchmarks.workers.dagster_runs", *arguments), home.with_suffix(".log")))
        for way, measures in found.items():
            execution.results.enter(f"{part}.{_DUE}.{way}", measures)


_homes = itertools.count()


def _recovery(execution: Execution, part: str) -> Mapping[str, float]:
    home = f"{part}/killed-{next(_homes)}"
    with ExitStack() as stack:
        producer = execution.worker(stack, "operating", home)
        producer.ask("stage_bytes", amount=execution.plan.scaled(_STAGED_BYTES))
        producer.kill()
        taken = execution.worker(stack, "operating", home).ask("recover")
    shutil.rmtree(execution.home(home))
    return {"seconds": taken}

"""Producers: one or eight, with and without waiting for each receipt; and a thousand datasets in one process."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.processes import Worker
from benchmarks.turns import Execution, Turn

SIZES = (10, 1_000)  # rows of a batch
PRODUCERS = 8
DATASETS = 1_000

_EVERYONE = ("floor", "ours", "older", "http", "client", "postgres", "quack", "ducklake", "delta")
_IN_GROUPS = ("ours", "older", "http", "postgres", "quack")  # those to which several processes can write at once
_BATCHES_OF_EACH = 2  # after the first
_RECORDS = 500


def one_producer(execution: Execution, contenders: Sequence[str] = _EVERYONE) -> None:
    """Each batch is written once the one before is durable."""
    part, plan = "one_producer", execution.plan
    with execution.part(part) as stack:
        teams = execution.teams(stack, part, contenders)
        execution.take_turns(part, _turns(part, teams, SIZES, "write", plan.turn_seconds), plan.rounds)


def eight_producers(execution: Execution) -> None:
    """The same from eight processes into one destination."""
    part, plan = "eight_producers", execution.plan
    with execution.part(part) as stack:
        teams = execution.teams(stack, part, _IN_GROUPS, PRODUCERS)
        execution.take_turns(part, _turns(part, teams, SIZES, "write", plan.group_seconds), plan.rounds)


def submitted(execution: Execution) -> None:
    """Batches submitted, and all receipts awaited at the end of the turn; beside it the CPU of an Arrow record."""
    part, plan = "submitted", execution.plan
    with execution.part(part) as stack:
        teams = execution.teams(stack, part, ("ours", "older", "client"))
        turns = _turns(part, teams, SIZES, "submit", plan.turn_seconds)
        for [floor] in execution.teams(stack, part, ("floor",)).values():
            turns |= {f"{size}.record": partial(_record, floor, size) for size in SIZES}
        execution.take_turns(part, turns, plan.rounds)


def eight_submitting(execution: Execution) -> None:
    """The same from eight processes into one dataset, small batches."""
    part, plan = "eight_submitting", execution.plan
    with execution.part(part) as stack:
        teams = execution.teams(stack, part, ("ours", "older"), PRODUCERS)
        execution.take_turns(part, _turns(part, teams, SIZES[:1], "submit", plan.group_seconds), plan.rounds)


def many_datasets(execution: Execution) -> None:
    """A new process and a new staging directory in each turn."""
    part, plan, number = "many_datasets", execution.plan, itertools.count()

    def turn(name: str) -> Mapping[str, float]:
        with ExitStack() as stack:
            [[fresh]] = execution.teams(stack, f"{part}/{next(number)}", (name,)).values()
            found: Mapping[str, float] = fresh.ask(part, count=plan.scaled(DATASETS), repeats=_BATCHES_OF_EACH)
            return found

    with execution.part(part):
        names = execution.taking_part(("ours", "older"))
        execution.take_turns(part, {f"{DATASETS}.{name}": partial(turn, name) for name in names}, plan.long_rounds)


def _turns(
    part: str, teams: Mapping[str, Sequence[Worker]], sizes: Sequence[int], way: str, seconds: float
) -> dict[str, Turn]:
    return {
        f"{size}.{name}": partial(_together, team, way, destination=f"{part}_{size}", size=size, seconds=seconds)
        for size in sizes
        for name, team in teams.items()
    }


def _together(team: Sequence[Worker], way: str, **request: Any) -> dict[str, float]:
    """All workers of a contender at once."""
    team[0].ask("prepare", destination=request["destination"])
    for member in team:
        member.send(way, **request)
    answers = [member.receive() for member in team]
    batches = [answer["batches"] for answer in answers]
    measures = {"rate": sum(batches) / max(answer["seconds"] for answer in answers)}
    if latencies := [taken for answer in answers for taken in answer.get("latencies", ())]:
        measures |= {"p50": quantile(latencies, 0.5), "p99": quantile(latencies, 0.99)}
    if cpu := sum(answer.get("cpu", 0.0) for answer in answers):
        measures["cpu"] = 1e3 * cpu / sum(batches)
    if len(team) > 1:
        measures["slowest"] = min(batches) / statistics.mean(batches)
    return measures


def _record(floor: Worker, size: int) -> Mapping[str, float]:
    return {"cpu": 1e3 * floor.ask("record", size=size, times=_RECORDS)}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]

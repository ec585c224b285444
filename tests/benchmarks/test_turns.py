"""Contenders take turns in real processes; one that fails is reported, and the rest goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from benchmarks.contenders import Contender, Workers, contenders
from benchmarks.figures import Results
from benchmarks.parts.producers import SIZES, one_producer
from benchmarks.processes import Command, Failed, python
from benchmarks.turns import Execution, Plan

PLAN = Plan(rounds=2, turn_seconds=0.01)


def _not_installed(_folder: Path) -> AbstractContextManager[Workers]:
    raise Failed("not installed")


@contextmanager
def _dying(_folder: Path) -> Iterator[Workers]:
    yield lambda _part: python("benchmarks.workers.no_such_module")


@contextmanager
def _ending(_folder: Path) -> Iterator[Workers]:
    yield lambda _part: Command(("false",))


@pytest.fixture
def execution(tmp_path: Path) -> Execution:
    return Execution(PLAN, tmp_path, Results())


def test_every_contender_has_a_turn_in_each_round(execution: Execution) -> None:
    known = contenders()
    with execution.started({name: known[name] for name in ("floor", "ours")}):
        one_producer(execution)
    figures = execution.results.figures
    expected = {f"one_producer.{size}.{name}.p50" for size in SIZES for name in ("floor", "ours")}
    assert {key for key in figures if key.endswith(".p50")} == expected
    assert {len(figures[key].rounds) for key in expected} == {PLAN.rounds}


def test_a_contender_that_cannot_start_is_missing_with_the_reason(execution: Execution) -> None:
    with execution.started({"postgres": Contender("PostgreSQL", "", _not_installed)}):
        one_producer(execution)
    assert execution.results == Results(missing={"postgres": "not installed"})


@pytest.mark.parametrize("start", [_dying, _ending])
def test_a_contender_that_fails_has_no_figures_and_others_go_on(execution: Execution, start: object) -> None:
    known = contenders()
    with execution.started({"quack": Contender("Quack", "", start), "floor": known["floor"]}):  # type: ignore[arg-type]
        one_producer(execution)
    assert {key.split(".")[2] for key in execution.results.figures} == {"floor"}
    assert set(execution.results.missing) == {f"one_producer.{size}.quack" for size in SIZES}


def test_no_child_outlives_a_part(execution: Execution) -> None:
    known = contenders()
    before = _children()  # other tests of this process may have left a fork server
    with execution.started({"ours": known["ours"]}):
        one_producer(execution)
    assert _children() <= before


def _children() -> set[psutil.Process]:
    return set(psutil.Process(os.getpid()).children(recursive=True))

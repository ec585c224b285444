"""The processes that faults happen to. Forked from a warm parent that has imported all of this and opened nothing."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.crash.kernel import Watched
from tests.crash.producers import die, notes
from tests.crash.scenarios import SCENARIOS
from tests.crash.steps import STEPS, Step
from timestore_pipeline.lake import handle
from timestore_pipeline.maintain import prune

Fault = tuple[str, str, str]  # step, moment (before, during, after), kind (die, fail)


def victim(home: Path, scenario: str, fault: Fault | None, address: str | None) -> None:
    """Live through a scenario; what went wrong on the way is written to the outcome."""
    handle.CHECKPOINT_EVERY = 1
    prune.SLACK = timedelta(0)  # else a log of this age would be kept whole
    watched = None if address is None else Watched(address)
    fired = arm(fault, watched)
    errors: list[str] = []
    try:
        SCENARIOS[scenario](home, errors)
    except BaseException:  # noqa: BLE001  # whatever it was, it is the verdict
        errors.append("UNTYPED " + traceback.format_exc())
    notes(home, "outcome").write_text(json.dumps({"fired": fired(), "errors": errors}))
    sys.stdout.flush()
    os._exit(0)


def arm(fault: Fault | None, watched: Watched | None) -> Callable[[], bool]:
    """Put the fault, and marks for whoever watches, around the steps' functions; returns whether it has fired."""
    fired: list[str] = []
    for step in STEPS:
        mine = fault if fault is not None and fault[0] == step.name else None
        if watched is not None or mine is not None:
            setattr(step.owner, step.attribute, _around(step, mine, watched, fired))
    return lambda: bool(fired)


def _around(step: Step, fault: Fault | None, watched: Watched | None, fired: list[str]) -> Callable[..., Any]:
    real = getattr(step.owner, step.attribute)
    calls = 0

    def wrapper(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != step.call:
            return real(*arguments, **options)
        _act(step, fault, "before", fired)
        result = _marked(step, watched, lambda: real(*arguments, **options))
        _act(step, fault, "after", fired)
        return result

    return wrapper


def _marked(step: Step, watched: Watched | None, action: Callable[[], Any]) -> Any:
    if watched is None:
        return action()
    watched.tell("+" + step.name)
    try:
        return action()
    finally:
        watched.tell("-" + step.name)


def _act(step: Step, fault: Fault | None, moment: str, fired: list[str]) -> None:
    if fault is None or fault[1] != moment:
        return
    fired.append(step.name)
    if fault[2] == "die":
        die()
    raise step.error()

"""The processes that faults happen to. Forked from a warm parent that has imported all of this and opened nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tests.crash import aside
from tests.crash.kernel import Watched
from tests.crash.steps import STEPS, Step
from tests.flush.conftest import hourly
from tests.flush.dying import carry_on
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.flush import recovery
from timestore_pipeline.flush.relieve import ATTEMPTS_BEFORE_ISOLATION
from timestore_pipeline.lake import handle
from timestore_pipeline.maintain import prune, run
from timestore_pipeline.maintain.retype import Wish, retyping
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.wiring import Timestore, rebuild_if_lost

BATCHES = 3
_ROWS = 30  # hours of each batch: every batch lies in two partitions
_TRIES = 5

T = TypeVar("T")
Fault = tuple[str, str, str]  # step, moment (before, during, after), kind (die, fail)


def settings(home: Path) -> Settings:
    """A segment whose writer failed is waited for in vain, so the wait is short."""
    return Settings.build(home=home, staging_seal_timeout_ms=3_000)


def victim(home: Path, scenario: str, fault: Fault | None, address: str | None) -> None:
    """Live through a scenario; what went wrong on the way is written to the outcome."""
    handle.CHECKPOINT_EVERY = 1
    prune.SLACK = timedelta(0)  # else a log of this age would be kept whole
    watched = None if address is None else Watched(address)
    fired = arm(fault, watched)
    errors: list[str] = []
    try:
        _SCENARIOS[scenario](home, errors)
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


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def produce(home: Path, staging: StagingManager, errors: list[str], numbers: Iterable[int] = range(BATCHES)) -> None:
    """Stage the batches, trying again with the same key; intents are written before, acknowledgements after."""
    for number in numbers:
        note(notes(home, "intents"), number)
        attempt(errors, partial(stage, staging, number))
        note(notes(home, "acks"), number)


def stage(staging: StagingManager, number: int) -> None:
    staging.enqueue("d", hourly(_ROWS, number * _ROWS), idempotency_key=f"batch-{number}")


def rows_of(numbers: set[int]) -> list[int]:
    return sorted(row for number in numbers for row in range(number * _ROWS, (number + 1) * _ROWS))


def notes(home: Path, what: str) -> Path:
    """Beside the home, not in it: a fault must hit the product, not the test's own books."""
    return home.parent / what


def note(path: Path, number: int) -> None:
    with path.open("a") as file:
        file.write(f"{number}\n")


def opened(home: Path, door: Callable[[Settings], T], errors: list[str]) -> T:
    return attempt(errors, lambda: door(settings(home)))


def attempt(errors: list[str], action: Callable[[], T]) -> T:
    """What a caller does with a typed error: try again."""
    for _ in range(_TRIES):
        try:
            return action()
        except TimestoreError as error:
            errors.append(f"{type(error).__name__}: {error}")
    return action()


def _life(home: Path, errors: list[str]) -> None:
    """A producer and a flush, from nothing to published."""
    with opened(home, StagingManager.open, errors) as staging, opened(home, Timestore, errors) as store:
        produce(home, staging, errors)
        attempt(errors, lambda: store.flush("d", Trigger.MANUAL, "victim"))


def _stage_and_die(home: Path, errors: list[str]) -> None:
    """Leaves an open segment with its log."""
    with opened(home, StagingManager.open, errors) as staging:
        produce(home, staging, errors)
        die()


def _stage_by_the_hour(home: Path, errors: list[str]) -> None:
    """So many partitions that their files are written together."""
    with opened(home, Timestore, errors) as store:
        store.area.ledger.datasets.ensure("d")
        store.set_metadata("d", {"partition": {"granularity": "hour"}})
    _stage_and_die(home, errors)


def _stage_rotten(home: Path, errors: list[str]) -> None:
    with opened(home, StagingManager.open, errors) as staging:
        produce(home, staging, errors)
    aside.rot(home)
    die()


def _stage_poisonous(home: Path, errors: list[str]) -> None:
    """And fail with it often enough for the next flush to ask which batch it is."""
    with opened(home, StagingManager.open, errors) as staging:
        produce(home, staging, errors)
    aside.poison(home)
    with opened(home, Timestore, errors) as store:
        for _ in range(ATTEMPTS_BEFORE_ISOLATION):
            with suppress(TimestoreError):
                store.flush("d", Trigger.MANUAL, "failing")
    die()


def _lose_the_ledger(home: Path, errors: list[str]) -> None:
    """A batch is published, the others are staged, and a page of the ledger is overwritten."""
    for numbers in (range(1), range(1, BATCHES)):
        with opened(home, StagingManager.open, errors) as staging:
            produce(home, staging, errors, numbers)
        if numbers.start == 0:
            _flush(home, errors)
    ledger = settings(home).staging_directory / "ledger.sqlite"
    content = bytearray(ledger.read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    ledger.write_bytes(content)
    die()


def _flush_and_die(home: Path, errors: list[str]) -> None:
    _flush(home, errors)
    die()


def _decide(decision: str, home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: aside.decide(store, decision))


def _publish_bit_by_bit(home: Path, errors: list[str]) -> None:
    """A flush for each batch leaves small files."""
    for number in range(BATCHES):
        with opened(home, StagingManager.open, errors) as staging:
            produce(home, staging, errors, [number])
        _flush(home, errors)
    die()


def _publish_and_stage(home: Path, errors: list[str]) -> None:
    """All but one batch are published, and the last lies in a dead producer's segment."""
    for numbers in (range(BATCHES - 1), range(BATCHES - 1, BATCHES)):
        with opened(home, StagingManager.open, errors) as staging:
            produce(home, staging, errors, numbers)
            if numbers.start:
                die()
        _flush(home, errors)


def _maintain(home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: maintained(store))


def maintained(store: Timestore) -> None:
    """With nothing kept for anybody; raises the first thing that could not be done."""
    options = replace(store.maintain_options(min_files=2, retention=timedelta(0)), log_retention=timedelta(0))
    for done in run.maintain(store.area, store.lake, ["d"], options):
        if done.errors:
            raise done.errors[0]


def _retype(home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: retyped(store))


def retyped(store: Timestore) -> None:
    """Row numbers become doubles; a second time there is nothing to do but to learn."""
    wish, options = Wish("d", "n", "double"), store.maintain_options()
    with retyping(store.area, store.lake, wish, options, store.settings.seal_timeout) as work:
        work.carry_out(work.examine(_untold), _untold)


def _untold(_dataset: str, _done: int, _of: int) -> None:
    """Nobody watches."""


def _rebuild(home: Path, errors: list[str]) -> None:
    """As `timestore recover` does."""
    attempt(errors, lambda: rebuild_if_lost(settings(home)))
    _recover(home, errors)


def _flush(home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: store.flush("d", Trigger.MANUAL, "victim"))


def _carry_on(home: Path, errors: list[str]) -> None:
    """As a run's next op does in a process of its own."""
    with opened(home, Timestore, errors) as store:
        (flush,) = store.area.ledger.flushes.in_flight()
        try:
            carry_on(store, FlushRef(flush.dataset, flush.epoch))
        except TimestoreError as error:
            errors.append(f"{type(error).__name__}: {error}")


def _recover(home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: _recovered(store))


def _recovered(store: Timestore) -> None:
    found = recovery.recover(store.area, store.lake)
    if found.errors:
        raise found.errors[0]


_SCENARIOS: dict[str, Callable[[Path, list[str]], None]] = {
    "life": _life,
    "stage and die": _stage_and_die,
    "flush": _flush,
    "carry on": _carry_on,
    "recover": _recover,
    "stage by the hour": _stage_by_the_hour,
    "stage rotten": _stage_rotten,
    "stage poisonous": _stage_poisonous,
    "flush and die": _flush_and_die,
    "requeue": partial(_decide, "requeue"),
    "discard": partial(_decide, "discard"),
    "lose the ledger": _lose_the_ledger,
    "rebuild": _rebuild,
    "publish bit by bit": _publish_bit_by_bit,
    "publish and stage": _publish_and_stage,
    "maintain": _maintain,
    "retype": _retype,
}

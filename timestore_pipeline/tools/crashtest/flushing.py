"""The roles that publish rows: flushers, which race each other for every dataset, and a recovery.

`RetryLater`, `Fenced` and `OutcomeUnknown` are expected: the product raises them when another process does the work.
Any other error is a fault and ends the process, which the test reports.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timestore_pipeline import clock
from timestore_pipeline.errors import Fenced, OutcomeUnknown, RetryLater
from timestore_pipeline.flush.recovery import recover
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.tools.crashtest import phases
from timestore_pipeline.tools.crashtest.life import Life
from timestore_pipeline.tools.crashtest.plan import DATASETS
from timestore_pipeline.wiring import Timestore

_FLUSH_PAUSE = 0.02  # seconds at most
_RECOVERY_PAUSE = 0.1  # seconds at most, plus the duration of the recovery: it reads whole logs, which slows the others


def flush_in_a_loop(life: Life) -> None:
    """One dataset after the other, in any order."""
    with opened(life) as timestore:
        while not life.ending:
            dataset = random.choice(list(DATASETS))
            with life.marker.during(phases.FLUSH), refusals_are_fine():
                _flush(life, timestore, dataset)
            clock.sleep(random.uniform(0, _FLUSH_PAUSE))


def recover_in_a_loop(life: Life) -> None:
    with opened(life) as timestore:
        while not life.ending:
            started = clock.monotonic()
            with life.marker.during(phases.RECOVER), refusals_are_fine():
                note_settled(life.plan.journals, len(recover(timestore.area, timestore.lake).settled))
            clock.sleep(random.uniform(0, _RECOVERY_PAUSE) + clock.monotonic() - started)


def settled(folder: Path) -> int:
    """Interrupted flushes that were settled by a process that could record it before it was killed."""
    file = folder / "settled"
    return file.stat().st_size if file.exists() else 0


def note_settled(folder: Path, flushes: int) -> None:
    """One byte each: appending cannot tear it."""
    if flushes:
        with (folder / "settled").open("ab") as file:
            file.write(b"." * flushes)


@contextmanager
def opened(life: Life) -> Iterator[Timestore]:
    """The opened store; marks the end of this life's start phase."""
    with Timestore(life.plan.settings()) as timestore:
        life.marker.idle()
        yield timestore


def _flush(life: Life, timestore: Timestore, dataset: str) -> None:
    claim = timestore.pipeline.claim(dataset, Trigger.MANUAL, f"crashtest-{os.getpid()}")
    note_settled(life.plan.journals, claim.settled is not None)
    if claim.ref is not None:
        timestore.pipeline.export(claim.ref, timestore.export_options())
        timestore.pipeline.finalize(claim.ref, timestore.pipeline.publish(claim.ref))


@contextmanager
def refusals_are_fine() -> Iterator[None]:
    """Ignore the refusals that are expected; any other error passes."""
    try:
        yield
    except (RetryLater, Fenced, OutcomeUnknown):
        return

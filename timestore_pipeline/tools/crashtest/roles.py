"""The roles that change tables: flushers, which race each other for every dataset, a recovery, and a maintainer.

`RetryLater`, `Fenced` and `OutcomeUnknown` are expected: the product raises them when another process does the work.
Any other error is a fault and ends the process, which the test reports.

The maintainer compacts, vacuums and trims the log all the time. Retentions that are weeks in production are seconds
here. Only files and commits that the reader has not read yet are kept for longer: it follows the log commit by commit,
and reports every missing one.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from timestore_pipeline.errors import Fenced, OutcomeUnknown, RetryLater
from timestore_pipeline.lake import handle
from timestore_pipeline.maintain import prune
from timestore_pipeline.maintain.dataset_maintenance import MaintainOptions, maintain
from timestore_pipeline.maintain.maintenance_report import DatasetUpkeep
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.system import clock
from timestore_pipeline.tools.crashtest import process_phases
from timestore_pipeline.tools.crashtest.process_phases import Life, append_lines, whole_lines
from timestore_pipeline.tools.crashtest.reader import published_table
from timestore_pipeline.tools.crashtest.results import Maintained
from timestore_pipeline.tools.crashtest.schedule import DATASETS
from timestore_pipeline.wiring import Timestore

_FLUSH_PAUSE = 0.02  # seconds at most
_RECOVERY_PAUSE = 0.1  # seconds at most, plus the duration of the recovery: it reads whole logs, which slows the others

_TARGET = 1_000_000  # bytes: small enough that files are compacted several times
_FILES_KEPT = timedelta(seconds=5)  # longer than the reader needs them; one maintenance takes less
_LOG_KEPT = timedelta(seconds=10)  # likewise
_CLOCKS = timedelta(seconds=2)  # everything is on one host
_CHECKPOINT_EVERY = 5  # versions
_PAUSE = 0.2  # seconds at most, plus the duration of the maintenance


def flush_in_a_loop(life: Life) -> None:
    """One dataset after the other, in any order."""
    with opened(life) as timestore:
        while not life.ending:
            dataset = random.choice(list(DATASETS))
            with life.marker.during(process_phases.FLUSH), refusals_are_fine():
                claim = timestore.pipeline.claim(dataset, Trigger.MANUAL, f"crashtest-{os.getpid()}")
                note_settled(life.plan.journals, claim.settled is not None)
                if claim.ref is not None:
                    timestore.pipeline.export(claim.ref, timestore.export_options())
                    timestore.pipeline.finalize(claim.ref, timestore.pipeline.publish(claim.ref))
            life.pause(random.uniform(0, _FLUSH_PAUSE))


def recover_in_a_loop(life: Life) -> None:
    with opened(life) as timestore:
        while not life.ending:
            started = clock.monotonic()
            with life.marker.during(process_phases.RECOVER), refusals_are_fine():
                note_settled(life.plan.journals, len(recover(timestore.area, timestore.lake).settled))
            life.pause(random.uniform(0, _RECOVERY_PAUSE) + clock.monotonic() - started)


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


@contextmanager
def refusals_are_fine() -> Iterator[None]:
    """Ignore the refusals that are expected; any other error passes."""
    try:
        yield
    except (RetryLater, Fenced, OutcomeUnknown):
        return


def maintain_in_a_loop(life: Life) -> None:
    """One dataset after the other, in any order."""
    # In this process alone: otherwise no log of a test would ever be old enough to trim.
    vars(prune)["SLACK"] = _CLOCKS
    vars(handle)["CHECKPOINT_EVERY"] = _CHECKPOINT_EVERY
    with opened(life) as timestore:
        while not life.ending:
            started = clock.monotonic()
            with life.marker.during(process_phases.MAINTAIN):
                _maintain(life, timestore, random.choice(list(DATASETS)))
            life.pause(random.uniform(0, _PAUSE) + clock.monotonic() - started)


def maintain_all(timestore: Timestore) -> list[str]:
    """For the end of the test, when no other process runs and nothing has to be kept; returns the errors."""
    done = maintain(timestore.area, timestore.lake, list(DATASETS), _options(timestore, timedelta(0)))
    return [f"the last maintenance of {one.dataset}: {error}" for one in done for error in one.errors]


def maintained(folder: Path) -> Maintained:
    """The maintainers' work, as far as they recorded it before they were killed."""
    total: Counter[str] = Counter()
    for done in whole_lines(_maintained_file(folder)):
        total.update(done)
    return Maintained(**total)


def note_maintained(folder: Path, done: DatasetUpkeep) -> None:
    append_lines(_maintained_file(folder), [_counted(done)])


def _maintained_file(folder: Path) -> Path:
    return folder / "maintained.ndjson"


def _counted(done: DatasetUpkeep) -> dict[str, int]:
    return {
        "compactions": done.compactions,
        "files": done.compacted_files,
        "deleted": len(done.deleted),
        "log_commits": done.log_commits,
    }


def _maintain(life: Life, timestore: Timestore, dataset: str) -> None:
    behind = published_table(life.plan, dataset).behind()
    options = replace(_options(timestore, behind + _FILES_KEPT), log_retention=behind + _LOG_KEPT)
    for done in maintain(timestore.area, timestore.lake, [dataset], options):
        note_maintained(life.plan.journals, done)
        for error in done.errors:
            with refusals_are_fine():
                raise error


def _options(timestore: Timestore, retention: timedelta) -> MaintainOptions:
    return timestore.maintain_options(target_bytes=_TARGET, min_files=2, retention=retention)

"""The role that compacts, vacuums and trims the log beside all others, all the time.

Retentions that are weeks in production are seconds here. Only files and commits that the reader has not read yet are
kept for longer: it follows the log commit by commit, and reports every missing one.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from timestore_pipeline import clock
from timestore_pipeline.lake import handle
from timestore_pipeline.maintain import prune
from timestore_pipeline.maintain.report import DatasetUpkeep
from timestore_pipeline.maintain.run import MaintainOptions, maintain
from timestore_pipeline.tools.crashtest import phases
from timestore_pipeline.tools.crashtest.flushing import opened, refusals_are_fine
from timestore_pipeline.tools.crashtest.life import Life, append_lines, whole_lines
from timestore_pipeline.tools.crashtest.plan import DATASETS
from timestore_pipeline.tools.crashtest.reader import published_table
from timestore_pipeline.tools.crashtest.report import Maintained
from timestore_pipeline.wiring import Timestore

_TARGET = 1_000_000  # bytes: small enough that files are compacted several times
_FILES_KEPT = timedelta(seconds=5)  # longer than the reader needs them; one maintenance takes less
_LOG_KEPT = timedelta(seconds=10)  # likewise
_CLOCKS = timedelta(seconds=2)  # everything is on one host
_CHECKPOINT_EVERY = 5  # versions
_PAUSE = 0.2  # seconds at most, plus the duration of the maintenance


def maintain_in_a_loop(life: Life) -> None:
    """One dataset after the other, in any order."""
    # In this process alone: otherwise no log of a test would ever be old enough to trim.
    vars(prune)["SLACK"] = _CLOCKS
    vars(handle)["CHECKPOINT_EVERY"] = _CHECKPOINT_EVERY
    with opened(life) as timestore:
        while not life.ending:
            started = clock.monotonic()
            with life.marker.during(phases.MAINTAIN):
                _maintain(life, timestore, random.choice(list(DATASETS)))
            clock.sleep(random.uniform(0, _PAUSE) + clock.monotonic() - started)


def maintain_all(timestore: Timestore) -> list[str]:
    """For the end of the test, when no other process runs and nothing has to be kept; returns the errors."""
    done = maintain(timestore.area, timestore.lake, list(DATASETS), _options(timestore, timedelta(0)))
    return [f"the last maintenance of {one.dataset}: {error}" for one in done for error in one.errors]


def maintained(folder: Path) -> Maintained:
    """The maintainers' work, as far as they recorded it before they were killed."""
    total: Counter[str] = Counter()
    for done in whole_lines(_file(folder)):
        total.update(done)
    return Maintained(**total)


def note_maintained(folder: Path, done: DatasetUpkeep) -> None:
    append_lines(_file(folder), [_counted(done)])


def _file(folder: Path) -> Path:
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

"""A process that flushes or recovers, stops itself before or after a named point and tells its end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.services.forked import Script, script
from timestore_pipeline import Settings
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.flush import schema_sync
from timestore_pipeline.lake import epochs
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.staging import quarantine, roll_up
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.staging.ledger.journals import Journals
from timestore_pipeline.staging.ledger.quarantine_moves import Quarantine
from timestore_pipeline.wiring import Timestore

POINTS: dict[str, tuple[Any, str]] = {
    "table": (schema_sync, "ensure_table"),
    "file": (LakeTable, "write"),
    "record export": (Flushes, "record_export"),
    "publish": (LakeTable, "publish"),
    "commit": (epochs, "_try_commit"),  # the snapshot it commits from has been taken
    "finalize": (Flushes, "finalize"),
    "salvage": (quarantine, "copy_whole"),
    "set aside": (Quarantine, "segment"),
    "record aside": (Quarantine, "claimed_records"),
    "roll up": (roll_up, "write_segment"),
    "roll-up's move": (Journals, "move"),
    "move": (quarantine, "move_durably"),
}


@contextmanager
def stopped_flush(settings: Settings, point: str, moment: str) -> Iterator[Script]:
    """A flushing process that has stopped itself at the point."""
    with _stopped(settings, "flush", point, moment) as process:
        yield process


@contextmanager
def stopped_recovery(settings: Settings, point: str, moment: str) -> Iterator[Script]:
    """A recovering process that has stopped itself at the point."""
    with _stopped(settings, "recover", point, moment) as process:
        yield process


@contextmanager
def _stopped(settings: Settings, *arguments: str) -> Iterator[Script]:
    with script("from tests.flush.stopping import main; main()", settings.home, *arguments) as process:
        process.wait_until_stopped()
        yield process


def wake_up(process: Script) -> str:
    """Let it go on to its end; how that was."""
    os.kill(process.pid, signal.SIGCONT)
    return process.finish()


def arm(point: str, moment: str) -> None:
    """Replace the point's function by one that stops the process once, before or after the real one."""
    owner, name = POINTS[point]
    real = getattr(owner, name)

    def stopping(*arguments: Any, **options: Any) -> Any:
        setattr(owner, name, real)
        if moment == "before":
            os.kill(os.getpid(), signal.SIGSTOP)
        result = real(*arguments, **options)
        if moment == "after":
            os.kill(os.getpid(), signal.SIGSTOP)
        return result

    setattr(owner, name, stopping)


def main() -> None:
    """Of a script with the arguments home, deed, point and moment."""
    home, deed, point, moment = sys.argv[1:]
    arm(point, moment)
    with Timestore(Settings.build(home=home)) as timestore:
        try:
            if deed == "flush":
                timestore.flush("d", Trigger.MANUAL, "stopped")
            else:
                recover(timestore.area, timestore.lake)
            sys.stdout.write("ok")
        except TimestoreError as error:
            sys.stdout.write(error.code)

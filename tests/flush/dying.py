"""A process that flushes and dies by its own `kill -9` before or after a named point."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timestore_pipeline import Settings
from timestore_pipeline.flush import recovery
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.staging.ledger.journals import Journals
from timestore_pipeline.wiring import Timestore

POINTS: dict[str, tuple[Any, str]] = {
    "claim": (Flushes, "claim"),
    "adopt": (Flushes, "adopt"),
    "file": (LakeTable, "write"),
    "record export": (Flushes, "record_export"),
    "delta commit": (LakeTable, "publish"),
    "finalize": (Flushes, "finalize"),
    "unlink": (segments, "remove"),
    "forget journals": (Journals, "forget"),
    "burn": (LakeTable, "burn"),
    "abort": (Flushes, "abort"),
    "settle": (recovery, "settle_interrupted"),
}


def die(*_arguments: Any, **_options: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, moment: str) -> None:
    """Replace the point's function by one that dies before or after the real one."""
    owner, name = POINTS[point]
    real = getattr(owner, name)

    def then_die(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        die()

    action: Callable[..., None] = die if moment == "before" else then_die
    setattr(owner, name, action)


def flush_dying(home: str | Path, point: str, moment: str, dataset: str) -> None:
    arm(point, moment)
    with Timestore(Settings.build(home=home)) as timestore:
        timestore.flush(dataset, Trigger.MANUAL, "dying")


def carry_on(timestore: Timestore, ref: FlushRef) -> None:
    """The phases after the claim."""
    timestore.pipeline.export(ref, timestore.export_options())
    timestore.pipeline.finalize(ref, timestore.pipeline.publish(ref))


def carry_on_dying(home: str | Path, ref: FlushRef, point: str, moment: str) -> None:
    arm(point, moment)
    with Timestore(Settings.build(home=home)) as timestore:
        carry_on(timestore, ref)


def recover_dying(home: str | Path, point: str, moment: str) -> None:
    arm(point, moment)
    with Timestore(Settings.build(home=home)) as timestore:
        recovery.recover(timestore.area, timestore.lake)

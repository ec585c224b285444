"""A process that flushes and dies by its own `kill -9` before or after a named point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.services.dying import arm
from timestore_pipeline import Settings
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.recovery import shard_recovery
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
    "settle": (shard_recovery, "settle_interrupted"),
}


def flush_dying(home: str | Path, point: str, moment: str, dataset: str) -> None:
    arm(*POINTS[point], moment)
    with Timestore(Settings.build(home=home)) as timestore:
        timestore.flush(dataset, Trigger.MANUAL, "dying")


def carry_on(timestore: Timestore, ref: FlushRef) -> None:
    """The phases after the claim."""
    timestore.pipeline.export(ref, timestore.export_options())
    timestore.pipeline.finalize(ref, timestore.pipeline.publish(ref))


def carry_on_dying(home: str | Path, ref: FlushRef, point: str, moment: str) -> None:
    arm(*POINTS[point], moment)
    with Timestore(Settings.build(home=home)) as timestore:
        carry_on(timestore, ref)


def recover_dying(home: str | Path, point: str, moment: str) -> None:
    arm(*POINTS[point], moment)
    with Timestore(Settings.build(home=home)) as timestore:
        shard_recovery.recover(timestore.area, timestore.lake)

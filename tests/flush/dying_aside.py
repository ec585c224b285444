"""A process that flushes, or decides, and dies by its own `kill -9` at a named step of quarantine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.services.dying import arm
from timestore_pipeline import Settings
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.staging import quarantine, salvage
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.incidents import Incidents
from timestore_pipeline.staging.ledger.quarantine_moves import Quarantine
from timestore_pipeline.staging.ledger.segment_rows import Segments
from timestore_pipeline.wiring import Timestore

POINTS: dict[str, tuple[Any, str]] = {
    "examine": (quarantine, "examine"),
    "register copy": (Segments, "register"),
    "copy rows": (salvage, "_copy"),
    "check copy": (salvage, "_check_equal"),
    "copy": (quarantine, "copy_whole"),
    "segment aside": (Quarantine, "segment"),
    "batches aside": (Quarantine, "batches"),
    "move": (quarantine, "move_durably"),
    "requeue": (Incidents, "requeue"),
    "discard": (Incidents, "discard"),
    "given up": (Segments, "forget"),
    "close": (StagingArea, "close"),
}


def victim(home: Path, point: str, moment: str, deed: str) -> None:
    """Do the deed, which is `flush`, `requeue` or `discard`, as far as it comes."""
    arm(*POINTS[point], moment)
    with Timestore(Settings.build(home=home)) as store:
        if deed == "flush":
            store.flush("d", Trigger.MANUAL, "dying")
        else:
            getattr(quarantine, deed)(store.area, 1)

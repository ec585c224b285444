"""The store that commands open, the run id of their flushes, and whether the flush sensor ticks."""

from __future__ import annotations

import os
from datetime import datetime

from timestore_pipeline.cli.wording import duration
from timestore_pipeline.model.thresholds import SENSOR_LATE
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def open_store() -> Timestore:
    """The store that the environment describes; the caller closes it. Raises `InvalidSettings` or `LedgerMismatch`."""
    return Timestore(Settings.from_env())


def run_id() -> str:
    """Names a flush of this process in the history: `cli-<pid>-<start>`."""
    return f"cli-{os.getpid()}-{clock.now():%Y%m%dT%H%M%S}"


def sensor_lateness(ticked: datetime | None) -> str | None:
    """Why the flush sensor counts as late, by its last tick; None = it ticks."""
    if ticked is None:
        return "no flush sensor has run on this staging directory yet"
    silent = clock.now() - ticked
    return f"the flush sensor has not ticked for {duration(silent)}" if silent > SENSOR_LATE else None

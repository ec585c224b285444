"""The store that commands open, the run id of their flushes, and whether the flush sensor ticks."""

from __future__ import annotations

import os

from timestore_pipeline import clock
from timestore_pipeline.cli.wording import duration
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.tools.doctor.queue_health import SENSOR_LATE
from timestore_pipeline.wiring import Timestore


def open_store() -> Timestore:
    """The store that the environment describes; the caller closes it. Raises `InvalidSettings` or `LedgerMismatch`."""
    return Timestore(Settings.from_env())


def run_id() -> str:
    """Names a flush of this process in the history: `cli-<pid>-<start>`."""
    return f"cli-{os.getpid()}-{clock.now():%Y%m%dT%H%M%S}"


def sensor_lateness(store: Timestore) -> str | None:
    """Why the sensor counts as late; None = it ticks."""
    ticked = store.area.ledger.get_meta(SENSOR_LAST_TICK)
    if ticked is None:
        return "no flush sensor has run on this staging directory yet"
    silent = clock.now() - clock.from_micros(int(ticked))
    return f"the flush sensor has not ticked for {duration(silent)}" if silent > SENSOR_LATE else None

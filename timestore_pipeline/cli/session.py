"""The store that commands open, and the run id of their flushes."""

from __future__ import annotations

import os

from timestore_pipeline import clock
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


def open_store() -> Timestore:
    """The store that the environment describes; the caller closes it. Raises `InvalidSettings` or `LedgerMismatch`."""
    return Timestore(Settings.from_env())


def run_id() -> str:
    """Names a flush of this process in the history: `cli-<pid>-<start>`."""
    return f"cli-{os.getpid()}-{clock.now():%Y%m%dT%H%M%S}"

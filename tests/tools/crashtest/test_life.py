"""A victim ends when its parent, which would end it, is gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from timestore_pipeline.tools.crashtest.process_phases import Life, PhaseBoard
from timestore_pipeline.tools.crashtest.schedule import CrashPlan


def test_a_parent_that_died_before_its_child_began_is_missed_too(tmp_path: Path) -> None:
    marker = PhaseBoard(1).marker(0)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert not Life(CrashPlan(tmp_path, kills=1, seed=1), 0, marker, parent=os.getppid()).ending
        assert Life(CrashPlan(tmp_path, kills=1, seed=1), 0, marker, parent=os.getpid()).ending
    finally:
        signal.signal(signal.SIGTERM, before)

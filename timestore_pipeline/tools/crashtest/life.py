"""One life of one process of the test, from its fork to its kill: who it is, and whether it may go on."""

from __future__ import annotations

import os
import signal
from types import FrameType

from timestore_pipeline.tools.crashtest.phases import PhaseMarker
from timestore_pipeline.tools.crashtest.plan import ROSTER, Plan, Role


class Life:
    """Make it in the process itself: a termination signal asks it to end when its current step is done."""

    def __init__(self, plan: Plan, process: int, marker: PhaseMarker) -> None:
        self.plan = plan
        self.process = process
        self.marker = marker
        self._parent = os.getppid()
        self._told_to_end = False
        signal.signal(signal.SIGTERM, self._end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    @property
    def role(self) -> Role:
        return ROSTER[self.process]

    @property
    def ending(self) -> bool:
        """Told to end, or nobody is left who could tell."""
        return self._told_to_end or os.getppid() != self._parent

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._told_to_end = True

"""One life of one process of the test, from its fork to its kill: its role, and whether it should end."""

from __future__ import annotations

import os
import signal
from types import FrameType

from timestore_pipeline.tools.crashtest.phases import PhaseMarker
from timestore_pipeline.tools.crashtest.plan import ROSTER, Plan, Role


class Life:
    """To be constructed in the process itself: a termination signal asks it to end after its current step."""

    def __init__(self, plan: Plan, process: int, marker: PhaseMarker) -> None:
        self.plan = plan
        self.process = process
        self.marker = marker
        self._parent = os.getppid()
        self._asked_to_end = False
        signal.signal(signal.SIGTERM, self._end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    @property
    def role(self) -> Role:
        return ROSTER[self.process]

    @property
    def ending(self) -> bool:
        """Asked to end, or the parent, which would ask, is gone."""
        return self._asked_to_end or os.getppid() != self._parent

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_end = True

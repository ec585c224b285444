"""One life of one process of the test, from its fork to its kill: its role, whether it should end, and its notes.

Notes are append-only files, a JSON document per line, for processes that may be killed at any instant. One call of
`append_lines` is one `write`. A kill may tear a line; a torn line is ignored, and spoils none after it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from timestore_pipeline.system import clock
from timestore_pipeline.tools.crashtest.phases import PhaseMarker
from timestore_pipeline.tools.crashtest.schedule import ROSTER, CrashPlan, Role

_LOOK_EVERY = 0.1  # seconds of a pause


def append_lines(path: Path, documents: Iterable[Any]) -> None:
    if text := "".join(f"\n{json.dumps(document)}\n" for document in documents):
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


def whole_lines(path: Path) -> Iterator[Any]:
    """Oldest first; nothing while there is no file."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):  # torn, or the empty line that ends a torn one
            yield json.loads(line)


class Life:
    """To be constructed in the process itself: a termination signal asks it to end after its current step."""

    def __init__(self, plan: CrashPlan, process: int, marker: PhaseMarker, parent: int) -> None:
        """parent: its process id, noted before the fork, because the parent may have been killed since."""
        self.plan = plan
        self.process = process
        self.marker = marker
        self._parent = parent
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

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the request to end."""
        until = clock.monotonic() + seconds
        while not self.ending and (left := until - clock.monotonic()) > 0:
            clock.sleep(min(left, _LOOK_EVERY))

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_end = True

"""What a run tells, with many lines in one event: an event costs 10 ms of CPU, however long its text is.

So a run of hundreds of datasets can tell of each. A warning is written at once, and with it what was said before it;
the rest at the latest a few seconds later, or when the run ends. A run that is killed loses as much.

Dagster's event log is written to by the run's own thread only: what other threads tell waits for it.
"""

import logging
import threading
from itertools import groupby

from timestore_pipeline import clock

_EVERY = 5.0  # seconds that a line waits at most, once another one comes or somebody calls `catch_up`
_MOST_LINES = 500  # in one event


class RunLog:
    """Stands in for the logger of a run's event log; to be made by the run's thread."""

    def __init__(self, target: logging.Logger) -> None:
        self._target = target
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._lines: list[tuple[int, str]] = []
        self._written_at = clock.monotonic()

    def log(self, level: int, message: str, *arguments: object) -> None:
        with self._lock:
            self._lines.append((level, message % arguments))
        self.catch_up(at_once=level >= logging.WARNING)

    def catch_up(self, *, at_once: bool = False) -> None:
        """Write what waits, if it is time to; does nothing in another thread than the run's."""
        if threading.get_ident() != self._thread or not self._lines:
            return
        if at_once or clock.monotonic() - self._written_at >= _EVERY or len(self._lines) >= _MOST_LINES:
            self._write()

    def close(self) -> None:
        self.catch_up(at_once=True)

    def _write(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        for level, some in groupby(lines, key=lambda line: line[0]):
            self._target.log(level, "%s", "\n".join(text for _, text in some))
        self._written_at = clock.monotonic()

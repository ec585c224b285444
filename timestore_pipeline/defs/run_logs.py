"""A run's event log: many lines in one event.

An event costs 10 ms of CPU, however long its text is, so a run of hundreds of datasets can log a line for each. A
warning is written at once, with the lines before it; other lines follow within a few seconds, or when the run ends. A
killed run loses the lines that were not written yet. Only the run's own thread writes to Dagster's event log: lines of
other threads wait for it.
"""

import logging
import threading
from itertools import groupby

from timestore_pipeline.system import clock

_EVERY = 5.0  # seconds; a line that has waited longer is written at the next line or call of `catch_up`
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
        """Write the waiting lines if they are due; does nothing in another thread than the run's."""
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

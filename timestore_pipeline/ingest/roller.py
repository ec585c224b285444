"""One thread per process that rolls up the journals this process has closed, while there are any.

A process that ends leaves its last journals as they are: a flush, the recovery or `timestore recover` rolls them up.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from timestore_pipeline import clock
from timestore_pipeline.staging.area import StagingArea

_log = logging.getLogger(__name__)

_PAUSE_FACTOR = 9  # of the time a dataset took: a tenth of a core, unless journals come faster than that
_AGAIN = 5.0  # seconds, after an error


class Roller:
    """Thread-safe."""

    def __init__(self, area: StagingArea) -> None:
        self._area = area
        self._changed = threading.Condition()
        self._journals: deque[str] = deque()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def add(self, journal_id: str) -> None:
        """Roll up a journal that is closed; returns at once."""
        with self._changed:
            if self._stopped:
                return
            self._journals.append(journal_id)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="timestore-roll-up", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread, after the dataset that it works on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (journal_id := self._next()) is not None:
            try:
                self._roll_up(journal_id)
            except Exception as error:  # noqa: BLE001  # without this thread the journals would grow until a flush
                _log.warning("journal %s is not rolled up yet, trying again later: %s", journal_id, error)
                self._pause(_AGAIN)
            else:
                self._done(journal_id)

    def _next(self) -> str | None:
        with self._changed:
            if self._stopped or not self._journals:
                self._thread = None
                return None
            return self._journals[0]

    def _done(self, journal_id: str) -> None:
        with self._changed:
            self._journals.remove(journal_id)

    def _roll_up(self, journal_id: str) -> None:
        from timestore_pipeline.staging.roll_up import remove_idle_journals, roll_up  # now: it imports DuckDB

        for dataset in self._area.ledger.journals.datasets_waiting(journal_id):
            began = clock.monotonic()
            rolled = roll_up(self._area, dataset, only={journal_id})
            if rolled.full is not None:
                raise rolled.full
            self._pause((clock.monotonic() - began) * _PAUSE_FACTOR)
            if self._stopped:
                return
        remove_idle_journals(self._area)

    def _pause(self, seconds: float) -> None:
        """Shorter when another journal waits behind this one."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._journals) > 1, seconds)

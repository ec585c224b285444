"""One thread per process that notices what others change in the ledger, and writes gathered counts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from timestore_pipeline.ingest.tally import Tally
from timestore_pipeline.staging.area import StagingArea

_log = logging.getLogger(__name__)

_POLL = 0.1  # seconds
_COUNT_EVERY = 2  # polls


class Housekeeper:
    """Polls the ledger's change marker, which costs microseconds."""

    def __init__(self, area: StagingArea, tally: Tally, refresh: Callable[[], None]) -> None:
        """refresh: called when the ledger has changed."""
        self._area = area
        self._tally = tally
        self._refresh = refresh
        self._marker = -1
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timestore-housekeeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what was counted so far is written."""
        self._stopped.set()
        self._thread.join()
        self._tally.write()

    def _run(self) -> None:
        polls = 0
        while not self._stopped.wait(_POLL):
            polls += 1
            try:
                self._look_at_ledger()
                if polls % _COUNT_EVERY == 0:
                    self._tally.write()
            except Exception as error:  # noqa: BLE001  # without this thread a change of types would go unseen
                _log.warning("changes and counts have to wait, trying again: %s", error)

    def _look_at_ledger(self) -> None:
        marker = self._area.ledger.database.change_marker()
        if marker == self._marker:
            return
        self._refresh()
        self._marker = marker

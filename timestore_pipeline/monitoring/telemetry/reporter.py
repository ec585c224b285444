"""Pushes as long as a producer runs, so that its batches are in the series even if no daemon and no run pushes.

The sensor's heartbeat and the runs' hooks push; without both, a newly staged batch would be in no series, and no alert
could fire. So producers push, too: when a push is due, and once more before they end, if batches are in no series yet.
Batches that a killed producer staged since the last push are in the next push of any process; until then the alert on
the silent sensor covers them.
"""

from __future__ import annotations

import threading

from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea

_CHECK_EVERY = 1.0  # seconds between checks whether a push is due; each costs two reads of the ledger


class Reporter:
    """Uses a separate thread, since a gateway may be slow; none where no gateway is configured."""

    def __init__(self, area: StagingArea, settings: Settings) -> None:
        self._area = area
        self._settings = settings
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timestore-reporter", daemon=True)
        if settings.pushgateway_url:
            self._thread.start()

    def stop(self) -> None:
        """Push once more if needed; waits no longer than `push.DEADLINE` for another push, and as long for its own."""
        self._leaving.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        from timestore_pipeline.monitoring.telemetry.push import (  # most producers have no gateway
            push_before_leaving,
            push_if_due,
        )

        while not self._leaving.wait(_CHECK_EVERY):
            push_if_due(self._area, self._settings)
        push_before_leaving(self._area, self._settings)

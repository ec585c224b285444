"""Pushing for as long as a producer lives, so that what it stages is known although no daemon and no run would tell.

The sensor's heartbeat and the runs' hooks push what they find; a batch that is staged after both have died would be in
no series, and nothing could be alerted on. So whoever stages pushes, too: when a push is due, and once more before it
leaves, if batches wait that nobody has told of. A producer that is killed says nothing more: what it staged since the
last push is told by the next process that comes by, and until then the silence of the sensor is the alert.
"""

from __future__ import annotations

import threading

from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea

_LOOK = 1.0  # seconds between two questions whether a push is due; each costs two reads of the ledger


class Reporter:
    """A thread of its own, since a gateway may take its time; none where no gateway is configured."""

    def __init__(self, area: StagingArea, settings: Settings) -> None:
        self._area = area
        self._settings = settings
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timestore-reporter", daemon=True)
        if settings.pushgateway_url:
            self._thread.start()

    def stop(self) -> None:
        """Say what is still to be said; a gateway that hangs is waited for no longer than `push.DEADLINE`."""
        self._leaving.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        from timestore_pipeline.monitoring.telemetry.push import (  # most producers have no gateway
            push_before_leaving,
            push_if_due,
        )

        while not self._leaving.wait(_LOOK):
            push_if_due(self._area, self._settings)
        push_before_leaving(self._area, self._settings)

"""The threads of a process that stages.

- The writer, while there is something to do, commits from the queue.
- The roller rolls up the journals that this process has closed, while there are any. A process that ends leaves its
  last journals as they are: a flush, the recovery or `timestore recover` rolls them up.
- The housekeeper notices what others change in the ledger, and writes gathered counts.
- The reporter pushes metrics, so that a new batch is in the series even if no daemon and no run pushes: when a push is
  due, and once more before the process ends. Batches that a killed process staged since the last push are in the next
  push of any process; until then the alert on the silent sensor covers them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta

from timestore_pipeline.errors import RetryLater
from timestore_pipeline.ingest.admission import Tally
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.queue import BatchQueue, QueuedBatch
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.system import clock

_log = logging.getLogger(__name__)

_IDLE = timedelta(seconds=10)  # then the thread ends, and its journal is closed
_PAUSE_FACTOR = 9  # of the time a dataset took: a tenth of a core, unless journals come faster than that
_AGAIN = 5.0  # seconds, after an error
_POLL = 0.1  # seconds
_COUNT_EVERY = 2  # polls
_CHECK_EVERY = 1.0  # seconds between checks whether a push is due; each costs two reads of the ledger


class BatchWriter:
    """Thread-safe. Ends its thread and closes its journal when idle; starts again with the next batch."""

    def __init__(self, group_commit: GroupCommit, max_pending: int) -> None:
        """max_pending: batches of one dataset that may wait."""
        self._group_commit = group_commit
        self._queue = BatchQueue(max_pending, self._start)

    def put(self, batch: QueuedBatch, max_wait: timedelta) -> Future[Receipt]:
        """Queue a batch; raises `QueueFull`, `ManagerClosed`, or `RetryLater` when no thread can be had."""
        self._queue.put(batch, max_wait)
        return batch.receipt

    def close(self) -> None:
        """Refuse further batches, commit the queued ones, close the journal, and wait for all of it."""
        self._queue.close()
        self._close_journal()  # the thread has done so, unless the ledger did not answer

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="timestore-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            hint = "raise the process's limit on threads"
            raise RetryLater(f"no writer thread: {error}", hint=hint) from error

    def _run(self) -> None:
        while True:
            if batches := self._queue.take(_IDLE):
                self._group_commit.commit(batches)
                continue
            self._close_journal()
            if self._queue.try_stop():
                return

    def _close_journal(self) -> None:
        try:
            self._group_commit.close_journal()
        except Exception as error:  # noqa: BLE001  # a dead writer thread would leave every later receipt unresolved
            _log.warning("the journal of this process is not closed yet, trying again later: %s", error)


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
                with self._changed:
                    self._journals.remove(journal_id)

    def _next(self) -> str | None:
        with self._changed:
            if self._stopped or not self._journals:
                self._thread = None
                return None
            return self._journals[0]

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
                _log.warning("changes and counts are not in the ledger yet, trying again: %s", error)

    def _look_at_ledger(self) -> None:
        marker = self._area.ledger.database.change_marker()
        if marker == self._marker:
            return
        self._refresh()
        self._marker = marker


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

"""The writer of a process: one queue and, while there is something to do, one thread that commits from it."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from datetime import timedelta

from timestore_pipeline.errors import RetryLater
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.queue import BatchQueue, QueuedBatch
from timestore_pipeline.model.batch import Receipt

_log = logging.getLogger(__name__)

_IDLE = timedelta(seconds=10)  # then the thread ends, and its journal is closed


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

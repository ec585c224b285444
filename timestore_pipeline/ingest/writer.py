"""The writer of one dataset: a bounded queue and, while there is something to do, one thread that commits from it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Set
from concurrent.futures import Future
from datetime import timedelta

from timestore_pipeline.errors import RetryLater
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.queue import BatchQueue, QueuedBatch
from timestore_pipeline.model.batch import Receipt

_log = logging.getLogger(__name__)

# A thousand datasets must not hold a thousand threads and open segments for ever.
_IDLE = timedelta(seconds=10)


class DatasetWriter:
    """Thread-safe. Ends its thread and seals its segment when idle; starts again with the next batch."""

    def __init__(self, dataset: str, group_commit: GroupCommit, max_pending: int) -> None:
        self._dataset = dataset
        self._group_commit = group_commit
        self._queue = BatchQueue(dataset, max_pending, self._start)

    def put(self, batch: QueuedBatch, max_wait: timedelta) -> Future[Receipt]:
        """Queue a batch; raises `QueueFull`, `ManagerClosed`, or `RetryLater` when no thread can be had."""
        self._queue.put(batch, max_wait)
        return batch.receipt

    def want_seal(self, segment_id: str) -> None:
        """Seal that segment soon, unless it is sealed already; returns at once."""
        self._queue.want_seal(segment_id)

    def close(self) -> None:
        """Refuse further batches, commit the queued ones, seal, and wait for all of it."""
        self._queue.close()
        self._seal()  # the thread has done so, unless the ledger did not answer
        self._group_commit.close()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"timestore-writer-{self._dataset}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            hint = "raise the process's limit on threads, or write to fewer datasets at once"
            raise RetryLater(f"no writer thread: {error}", dataset=self._dataset, hint=hint) from error

    def _run(self) -> None:
        while True:
            work = self._queue.take(_IDLE)
            if work.batches:
                self._group_commit.commit(work.batches)
            if work.seal:
                self._seal(work.seal)
            elif not work.batches:
                self._seal()
            if not work.batches and not self._group_commit.is_open and self._queue.try_stop():
                return

    def _seal(self, only: Set[str] | None = None) -> None:
        """only: ids; a request may be answered twice, and the segment that was opened in between is not meant."""
        try:
            self._group_commit.seal(only)
        except Exception as error:  # noqa: BLE001  # a dead writer thread would leave every later receipt unresolved
            _log.warning("dataset %s: a segment is not handed over yet, trying again later: %s", self._dataset, error)

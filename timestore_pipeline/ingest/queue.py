"""The bounded in-memory queue between producers' threads and a dataset's writer thread.

Nothing in it is promised to anyone: a batch leaves it towards a durable receipt or towards an error, and a process
that dies takes the queue with it while its callers still wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta

import pyarrow as pa

from timestore_pipeline.errors import ManagerClosed, QueueFull, TimestoreError
from timestore_pipeline.ingest.catalog import Fitted
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.staging.ledger.datasets import DatasetRecord


@dataclass(slots=True)
class QueuedBatch:
    """A validated batch that waits for its group commit."""

    fitted: Fitted
    source: pa.Table  # as it came in, for when the dataset has changed by the time the batch is written
    idempotency_key: str | None
    receipt: Future[Receipt] = field(default_factory=Future)
    batch_id: str | None = None  # None = not written yet; a copy that is written later keeps the first one's

    @property
    def record(self) -> DatasetRecord:
        return self.fitted.record

    @property
    def rows(self) -> pa.Table:
        return self.fitted.rows

    @property
    def bytes(self) -> int:
        return int(self.fitted.rows.nbytes)


@dataclass(frozen=True, slots=True)
class Work:
    """What the writer thread should do next; nothing at all = it was idle for the whole wait."""

    batches: list[QueuedBatch]
    seal: frozenset[str]  # ids of the segments that somebody waits for


class BatchQueue:
    """Many producers, one consumer that comes and goes.

    `start` is called when a batch or a request comes and there is no consumer: always under the queue's lock, so that
    a queued batch has a consumer at every instant.
    """

    def __init__(self, dataset: str, limit: int, start: Callable[[], None]) -> None:
        self._dataset = dataset
        self._limit = limit
        self._start = start
        self._changed = threading.Condition()
        self._batches: list[QueuedBatch] = []
        self._seal_wanted: frozenset[str] = frozenset()
        self._closed = False
        self._consumed = False

    def put(self, batch: QueuedBatch, max_wait: timedelta) -> None:
        """Queue a batch, waiting up to `max_wait` for room.

        Raises `QueueFull`, `ManagerClosed` once the queue is closed, and what `start` raises; nothing is queued then.
        """
        with self._changed:
            self._changed.wait_for(self._has_room, max_wait.total_seconds())
            self._refuse_when_closed_or_full()
            self._ensure_consumer()
            self._batches.append(batch)
            self._changed.notify_all()

    def want_seal(self, segment_id: str) -> None:
        """Ask the consumer to seal a segment; a closed queue's consumer has done so or is about to."""
        with self._changed:
            if self._closed:
                return
            self._ensure_consumer()
            self._seal_wanted |= {segment_id}
            self._changed.notify_all()

    def take(self, idle: timedelta) -> Work:
        """All that waits, at once; blocks until there is something or nothing came for `idle`."""
        with self._changed:
            self._changed.wait_for(lambda: self._batches or self._seal_wanted or self._closed, idle.total_seconds())
            work = Work(self._batches, self._seal_wanted)
            self._batches, self._seal_wanted = [], frozenset()
            self._changed.notify_all()
            return work

    def try_stop(self) -> bool:
        """The consumer wants to end; False = something came in meanwhile, it must go on."""
        with self._changed:
            self._consumed = bool(self._batches or self._seal_wanted)
            self._changed.notify_all()
            return not self._consumed

    def close(self) -> None:
        """Refuse further batches and wait until those queued are consumed and the consumer is gone."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._consumed)

    def _has_room(self) -> bool:
        return self._closed or len(self._batches) < self._limit

    def _refuse_when_closed_or_full(self) -> None:
        if self._closed:
            raise ManagerClosed("the staging manager is closed", dataset=self._dataset, hint="open a new one")
        if len(self._batches) >= self._limit:
            raise QueueFull(
                f"dataset {self._dataset!r} has {self._limit} batches waiting in memory",
                dataset=self._dataset,
                hint="wait and retry, send larger batches, or raise TIMESTORE_STAGING_MAX_PENDING",
                retry_after=timedelta(milliseconds=100),
            )

    def _ensure_consumer(self) -> None:
        if self._consumed:
            return
        self._consumed = True
        try:
            self._start()
        except TimestoreError:  # not for an interrupt: by then the consumer may run
            self._consumed = False
            raise

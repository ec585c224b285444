"""The bounded in-memory queue between producers' threads and the process's writer thread.

Nothing in it is acknowledged: a batch leaves it towards a durable receipt or towards an error, and a process that dies
takes the queue with it while its callers still wait.

The answer to a caller about its batch: staged, known already, or why not.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta

import pyarrow as pa

from timestore_pipeline.errors import IdempotencyConflict, ManagerClosed, QueueFull, TimestoreError
from timestore_pipeline.ingest.catalog import Fitted
from timestore_pipeline.model.batch import Receipt, StagedBatch
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.system import clock

_GROUP_BYTES = 32 << 20  # of Arrow data; a larger group would keep small batches waiting for large ones


@dataclass(slots=True)
class QueuedBatch:
    """A validated batch that waits for its group commit."""

    fitted: Fitted
    source: pa.Table  # as it came in, for when the dataset has changed by the time the batch is written
    idempotency_key: str | None
    bytes: int  # of the rows, in Arrow's memory
    receipt: Future[Receipt] = field(default_factory=Future)
    batch_id: str | None = None  # None = not written yet; a copy that is written later keeps the first one's

    @property
    def record(self) -> DatasetRecord:
        return self.fitted.record

    @property
    def dataset(self) -> str:
        return self.fitted.record.name

    @property
    def rows(self) -> pa.Table:
        return self.fitted.rows


class BatchQueue:
    """Many producers, one consumer that comes and goes.

    `start` is called when a batch comes and there is no consumer: always under the queue's lock, so that a queued batch
    has a consumer at every instant.
    """

    def __init__(self, limit: int, start: Callable[[], None]) -> None:
        """limit: batches of one dataset."""
        self._limit = limit
        self._start = start
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._ended = threading.Condition(self._lock)
        self._batches: deque[QueuedBatch] = deque()
        self._waiting: Counter[str] = Counter()  # batches by dataset
        self._closed = False
        self._consumed = False

    def put(self, batch: QueuedBatch, max_wait: timedelta) -> None:
        """Queue a batch, waiting up to `max_wait` for room.

        Raises `QueueFull`, `ManagerClosed` once the queue is closed, and what `start` raises; nothing is queued then.
        """
        dataset = batch.dataset
        with self._lock:
            if not self._has_room(dataset):
                self._room.wait_for(lambda: self._has_room(dataset), max_wait.total_seconds())
            self._refuse_when_closed_or_full(dataset)
            self._ensure_consumer()
            self._batches.append(batch)
            self._waiting[dataset] += 1
            if len(self._batches) == 1:  # else the consumer is at work, or woken already
                self._arrived.notify()

    def take(self, idle: timedelta) -> list[QueuedBatch]:
        """Waiting batches, oldest first, as many as one group may hold; empty = none came for `idle`."""
        with self._lock:
            if not self._batches:
                self._arrived.wait_for(lambda: self._batches or self._closed, idle.total_seconds())
            group = self._take_group()
            self._room.notify_all()
            return group

    def try_stop(self) -> bool:
        """Let the consumer end; False = a batch arrived meanwhile, so it must continue."""
        with self._lock:
            self._consumed = bool(self._batches)
            self._ended.notify_all()
            return not self._consumed

    def close(self) -> None:
        """Refuse further batches and wait until those queued are consumed and the consumer is gone."""
        with self._lock:
            self._closed = True
            self._arrived.notify_all()
            self._room.notify_all()
            self._ended.wait_for(lambda: not self._consumed)

    def _take_group(self) -> list[QueuedBatch]:
        group: list[QueuedBatch] = []
        size = 0
        while self._batches and size < _GROUP_BYTES:
            batch = self._batches.popleft()
            group.append(batch)
            size += batch.bytes
            self._waiting[batch.dataset] -= 1
        if not self._batches:
            self._waiting.clear()
        return group

    def _has_room(self, dataset: str) -> bool:
        return self._closed or self._waiting[dataset] < self._limit

    def _refuse_when_closed_or_full(self, dataset: str) -> None:
        if self._closed:
            raise ManagerClosed("the staging manager is closed", dataset=dataset, hint="open a new one")
        if self._waiting[dataset] >= self._limit:
            raise QueueFull(
                f"dataset {dataset!r} has {self._limit} batches waiting in memory",
                dataset=dataset,
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


def resolve(batch: QueuedBatch, promise: StagedBatch, *, duplicate: bool) -> None:
    receipt = Receipt(
        batch_id=promise.batch_id,
        dataset=batch.record.name,
        rows=promise.rows,
        bytes=promise.bytes,
        staged_at=promise.staged_at,
        duplicate=duplicate,
    )
    batch.receipt.set_result(receipt)


def nothing_staged(dataset: str) -> Future[Receipt]:
    """For a batch without rows and without a column of any type."""
    receipt: Future[Receipt] = Future()
    receipt.set_result(Receipt("", dataset, rows=0, bytes=0, staged_at=clock.now(), duplicate=False))
    return receipt


def resolve_duplicate(batch: QueuedBatch, first: StagedBatch) -> None:
    """The same key again: the first call's receipt, unless the data plainly differ."""
    if batch.rows.num_rows == first.rows:
        resolve(batch, first, duplicate=True)
        return
    error = IdempotencyConflict(
        f"idempotency key {batch.idempotency_key!r} of dataset {batch.record.name!r} was used for {first.rows} rows,"
        f" now for {batch.rows.num_rows}",
        dataset=batch.record.name,
        hint="a key names one batch for ever; use a new key for new data",
    )
    batch.receipt.set_exception(error)


def fail(batches: Sequence[QueuedBatch], error: BaseException) -> None:
    for batch in batches:
        if not batch.receipt.done():
            batch.receipt.set_exception(_typed(batch, error))


def _typed(batch: QueuedBatch, error: BaseException) -> TimestoreError:
    """Each caller gets an exception; an unforeseen one comes as the cause of one that says what it means."""
    if isinstance(error, TimestoreError):
        return error
    typed = TimestoreError(
        f"a batch of dataset {batch.record.name!r} could not be staged: {type(error).__name__}: {error}",
        dataset=batch.record.name,
        hint="it was not staged; the log has the details",
    )
    typed.__cause__ = error
    return typed

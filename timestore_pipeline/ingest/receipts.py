"""The answer to a caller about its batch: staged, known already, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from timestore_pipeline import clock
from timestore_pipeline.errors import IdempotencyConflict, TimestoreError
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.model.batch import Receipt, StagedBatch


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

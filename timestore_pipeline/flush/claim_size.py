"""Smaller claims for a dataset whose export has run out of memory or disk; a batch too large for memory stops it.

Crash: the claim is tried once more as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from timestore_pipeline.errors import BatchTooLarge, DiskFull, OutOfMemory
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.area import StagingArea


def most_bytes_now(area: StagingArea, dataset: str, usual: int) -> int:
    """What the next claim may take. usual: where no export has failed."""
    narrowed = area.ledger.flush_failures.most_claim_bytes(dataset)
    if narrowed is not None and narrowed >= usual:
        area.ledger.flush_failures.limit_claims(dataset, None)
    return usual if narrowed is None else min(narrowed, usual)


@contextmanager
def narrowing(area: StagingArea, ref: FlushRef) -> Iterator[None]:
    """Of an `OutOfMemory` or a `DiskFull` within, the next claim learns to take half as much.

    Raises `BatchTooLarge` instead when the claim was a single batch and had been narrowed before, so that it had all
    the memory to itself.
    """
    try:
        yield
    except DiskFull:
        _halve(area, ref)
        raise
    except OutOfMemory as error:
        claimed = area.ledger.flushes.get(ref).volume
        if claimed.batches == 1 and area.ledger.flush_failures.most_claim_bytes(ref.dataset) is not None:
            [identity] = area.ledger.batches.of_flush(ref).values()
            raise BatchTooLarge(
                f"batch {identity} of dataset {ref.dataset!r}, {claimed.rows} rows of {claimed.bytes} bytes, cannot be"
                f" exported even alone: {error}",
                dataset=ref.dataset,
                hint="raise TIMESTORE_EXPORT_MEMORY_MB, and let producers send smaller batches",
            ) from error
        _halve(area, ref)
        raise


def _halve(area: StagingArea, ref: FlushRef) -> None:
    claimed = area.ledger.flushes.get(ref).volume
    area.ledger.flush_failures.limit_claims(ref.dataset, claimed.bytes // min(claimed.batches, 2))

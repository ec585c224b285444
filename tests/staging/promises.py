"""Putting batches into a ledger without any rows behind them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from timestore_pipeline.model.batch import StagedBatch, Volume, batch_id
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.staging.ledger import Ledger

START = datetime(2026, 1, 1, tzinfo=UTC)


def batch(segment: str, sequence: int, *, rows: int = 10, key: str | None = None) -> StagedBatch:
    """Staged `sequence` seconds after `START`; 8 bytes a row."""
    staged_at = START + timedelta(seconds=sequence)
    return StagedBatch(batch_id(segment, sequence), sequence, rows, rows * 8, staged_at, key)


def promise(ledger: Ledger, dataset: str, segment: str, *batches: StagedBatch, sealed: bool = True) -> None:
    """Record batches in a segment that is made if need be."""
    dataset_id = ledger.datasets.ensure(dataset).dataset_id
    if ledger.segments.get(segment) is None:
        ledger.segments.register(segment, dataset_id, "writer")
    ledger.batches.record(dataset_id, segment, batches)
    if sealed:
        ledger.segments.mark_sealed(segment)


def claimed(ledger: Ledger, dataset: str = "d", owner: str = "flusher") -> FlushRef:
    ref = ledger.flushes.claim(dataset, Trigger.ROWS, "run", owner)
    assert ref is not None
    return ref


def volumes(ledger: Ledger, dataset: str = "d") -> dict[str, Volume]:
    """State -> volume, states without batches left out."""
    [row] = ledger.batches.backlogs(dataset)
    return {state: volume for state, volume in row.volumes.items() if volume.batches}

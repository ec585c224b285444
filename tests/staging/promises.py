"""Putting batches into a ledger without any rows behind them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from timestore_pipeline.model.batch import StagedBatch, Volume, batch_id
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.batches import Promise

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
    ledger.batches.promise(segment, [Promise(dataset_id, None, batches)])
    if sealed:
        seal(ledger, segment)


def seal(ledger: Ledger, segment: str) -> None:
    """As a roll-up does with the batches that it moves."""
    with ledger.database.transaction() as tx:
        tx.execute("UPDATE segments SET state = 'sealed' WHERE segment_id = ?", (segment,))


def journal(ledger: Ledger, dataset: str, journal_id: str, *batches: StagedBatch, offset: int = 100) -> None:
    """Record batches in one record of a journal that is registered if need be."""
    dataset_id = ledger.datasets.ensure(dataset).dataset_id
    if ledger.journals.find(journal_id) is None:
        ledger.journals.register(journal_id, "writer")
    ledger.batches.promise(journal_id, [Promise(dataset_id, offset, batches)])


def claimed(ledger: Ledger, dataset: str = "d", owner: str = "flusher") -> FlushRef:
    ref = ledger.flushes.claim(dataset, Trigger.ROWS, "run", owner)
    assert ref is not None
    return ref


def volumes(ledger: Ledger, dataset: str = "d") -> dict[str, Volume]:
    """State -> volume, states without batches left out."""
    return {state: volume for state, volume in ledger.audit.totals(dataset).kept.items() if volume.batches}

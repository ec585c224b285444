"""Claiming a backlog: settle what was interrupted, take the next epoch and the batches where they lie.

A crash before the epoch is taken leaves everything as it was; after it, a claim whose process is gone, which the next
flush of the dataset settles before it claims anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from timestore_pipeline.errors import LayoutUndecided, LedgerIncomplete, ShardConflict
from timestore_pipeline.flush.settle import Settlement
from timestore_pipeline.flush.settle_interrupted import postpone, settle_or_postpone
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.model.lake import undecided
from timestore_pipeline.recovery.rebuild.ownership import check_ownership
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal_reader import LeftOut, unreadable
from timestore_pipeline.staging.quarantine import put_in_place
from timestore_pipeline.staging.roll_up import remove_idle_journals, remove_unfinished

_MOST_SHOWN = 5  # segments in a message


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of an attempt to claim; `ref` None = there was nothing to claim."""

    dataset: str
    ref: FlushRef | None
    settled: Settlement | None  # an interrupted flush that had to be settled first
    left_out: tuple[LeftOut, ...] = ()  # journals that cannot be read now; their batches stay pending


def claim_backlog(area: StagingArea, lake: Lake, dataset: str, trigger: Trigger, run_id: str, most_bytes: int) -> Claim:
    """Claim what is pending of the dataset, oldest first, as much as one export can sort.

    most_bytes: of what is staged; the batch that reaches it is the last of the claim.

    Raises `FlushInFlight`, `UnknownDataset`, `ShardConflict`, `LayoutUndecided` and `LedgerIncomplete`, and whatever
    kept an interrupted flush from being settled. Nothing is touched before the shard is known to be ours: to an older
    copy of the ledger, segments that were published since look like lost ones.
    """
    area.ledger.datasets.get(dataset)
    _own_or_postpone(area, lake, dataset)
    settled = settle_or_postpone(area, lake, dataset)
    if settled is not None:
        _own_or_postpone(area, lake, dataset)  # it may have been aborted because another ledger has taken its epoch
    _refuse_undecided(area, dataset)
    area.tidy_segments(dataset)
    remove_idle_journals(area)
    put_in_place(area, dataset)
    remove_unfinished(area, dataset)
    left_out = unreadable(area.directory.journal, area.ledger.journals.holding(dataset), dataset)
    without = [journal.journal_id for journal in left_out]
    ref = area.ledger.flushes.claim(dataset, trigger, run_id, area.identity.process_id, most_bytes, without)
    if ref is not None:
        area.held_claims.add(ref)
    elif left_out:
        postpone(area, dataset)
    else:
        _refuse_stranded(area, dataset)
    return Claim(dataset, ref, settled, tuple(left_out))


def _refuse_undecided(area: StagingArea, dataset: str) -> None:
    record = area.ledger.datasets.get(dataset)
    if record.schema is not None and record.granularity is None and record.metadata.waits_for_time:
        hint = "or publish without partitions: partition.undecided = publish"
        raise LayoutUndecided(f"dataset {dataset!r}: {undecided(dataset)}", dataset=dataset, hint=hint)


def _refuse_stranded(area: StagingArea, dataset: str) -> None:
    """Without a word, the dataset would be due for ever, and a run would find nothing at every tick."""
    if stranded := area.ledger.batches.stranded(dataset):
        postpone(area, dataset)
        shown = ", ".join(str(area.directory.segment(dataset, segment_id)) for segment_id in stranded[:_MOST_SHOWN])
        raise LedgerIncomplete(
            f"batches of dataset {dataset!r} wait in {len(stranded)} segments that the ledger does not list: {shown}",
            dataset=dataset,
            hint="`timestore recover` enters the files that exist; `timestore verify` says what is missing",
        )


def _own_or_postpone(area: StagingArea, lake: Lake, dataset: str) -> None:
    try:
        check_ownership(area, lake, dataset)
    except ShardConflict:
        postpone(area, dataset)
        raise

"""Claiming a backlog: settle what was interrupted, take the next epoch and the batches where they lie.

A crash before the epoch is taken leaves everything as it was; after it, a claim whose process is gone, which the next
flush of the dataset settles before it claims anything.

Before each claim it is checked that no other ledger publishes under this shard's name, so that two never take turns.
The newest epoch in the Delta log must be one that this ledger has assigned, and settled the same way. Otherwise either
another staging directory publishes under the same name, or this one was recreated or restored from an older copy; only
a person can tell which. If the lake does not answer, the export will report it.

The claims of a dataset whose export has run out of memory or disk become smaller; a batch too large for memory stops
it. After a crash before that is recorded, the claim is tried once more as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from timestore_pipeline.errors import (
    BatchTooLarge,
    DiskFull,
    Fenced,
    LayoutUndecided,
    LedgerIncomplete,
    OutOfMemory,
    ShardConflict,
    TimestoreError,
)
from timestore_pipeline.flush.settle import Settlement, postpone, settle_or_postpone
from timestore_pipeline.lake.history import NewestEpoch
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.flush import FlushRef, FlushState, Trigger
from timestore_pipeline.model.lake import app_id, claimed_at_micros, undecided
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import LeftOut, unreadable
from timestore_pipeline.staging.quarantine import put_in_place
from timestore_pipeline.staging.roll_up import remove_idle_journals, remove_unfinished
from timestore_pipeline.system import clock

_MOST_SHOWN = 5  # segments in a message
_OLDER_COPY = (
    "this ledger is an older copy, or a copy of it publishes elsewhere: stop the other, then run"
    " `timestore recover`, which enters the flushes published since"
)
_ANOTHER = (
    "was the ledger restored from a backup? Then run `timestore recover --restored`. Was the staging directory cleared,"
    " or its disk lost? Then run `timestore recover --replace-shard`. Does the other"
    " directory still exist? Then give this one a TIMESTORE_SHARD of its own"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of an attempt to claim; `ref` None = there was nothing to claim."""

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
    """Without an error, the dataset would be due for ever, and a run would find nothing at every tick."""
    if stranded := area.ledger.batches.stranded(dataset):
        postpone(area, dataset)
        shown = ", ".join(str(area.directory.segment(dataset, segment_id)) for segment_id in stranded[:_MOST_SHOWN])
        raise LedgerIncomplete(
            f"batches of dataset {dataset!r} wait in {len(stranded)} segments that the ledger does not list: {shown}",
            dataset=dataset,
            hint="`timestore recover` enters the files that exist; `timestore verify` lists what is missing",
        )


def _own_or_postpone(area: StagingArea, lake: Lake, dataset: str) -> None:
    try:
        check_ownership(area, lake, dataset)
    except ShardConflict:
        postpone(area, dataset)
        raise


def check_ownership(area: StagingArea, lake: Lake, dataset: str) -> None:
    """Raise `ShardConflict` when the table has an epoch of this shard that the ledger does not have."""
    if not area.backlog(dataset).queued.batches:
        return
    table = lake.table(dataset)
    try:
        newest = table.newest(app_id(area.shard, dataset))
        if _is_ours(area, dataset, newest):
            return
        metadata = _commit(table, app_id(area.shard, dataset), newest.epoch)
    except TimestoreError:  # the export will raise it, and release the batches
        return
    raise _conflict(area, dataset, newest, metadata)


def _is_ours(area: StagingArea, dataset: str, newest: NewestEpoch) -> bool:
    if newest.epoch > area.ledger.datasets.get(dataset).last_epoch:
        return False
    if newest.epoch == 0 or not newest.published:
        return True
    try:
        state = area.ledger.flushes.get(FlushRef(dataset, newest.epoch)).state
        return state in (FlushState.EXPORTED, FlushState.PUBLISHED)  # a claim must be exported before it is published
    except Fenced:  # taken over from another ledger, whose commit log cleanup had removed
        return True


def _commit(table: LakeTable, identifier: str, epoch: int) -> dict[str, Any]:
    """Metadata of the epoch's commit; empty when log cleanup has removed it."""
    found = [data for _, data in table.commits() if (data.get("app_id"), data.get("epoch")) == (identifier, epoch)]
    return found[-1] if found else {}


def _conflict(area: StagingArea, dataset: str, newest: NewestEpoch, metadata: dict[str, Any]) -> ShardConflict:
    ledger_id = str(metadata.get("ledger") or "unknown")
    micros = claimed_at_micros(str(metadata.get("claim") or ""))
    when = f" at {clock.from_micros(micros):%Y-%m-%d %H:%M:%S} UTC" if micros else ""
    last = area.ledger.datasets.get(dataset).last_epoch
    return ShardConflict(
        f"dataset {dataset!r}: epoch {newest.epoch} of shard {area.shard!r} was taken by ledger {ledger_id}"
        f"{when}; this one, {area.ledger.identity}, has assigned epochs up to {last} and did not publish it",
        dataset=dataset,
        ledger_id=ledger_id,
        hint=_OLDER_COPY if ledger_id == area.ledger.identity else _ANOTHER,
    )


def most_bytes_now(area: StagingArea, dataset: str, usual: int) -> int:
    """Most bytes of the next claim. usual: of a dataset without failed exports."""
    narrowed = area.ledger.flush_failures.most_claim_bytes(dataset)
    if narrowed is not None and narrowed >= usual:
        area.ledger.flush_failures.limit_claims(dataset, None)
    return usual if narrowed is None else min(narrowed, usual)


@contextmanager
def narrowing(area: StagingArea, ref: FlushRef) -> Iterator[None]:
    """After an `OutOfMemory` or a `DiskFull` in this block, the next claim takes half as much.

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

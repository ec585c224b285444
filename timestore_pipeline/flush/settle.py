"""Ending a flush that stopped half-way: the Delta log is asked, and its answer decides.

Published: finalize it. Not published: make sure that it never will be, then return its batches. While the ledger
still has the flush as claimed, no process can publish it (publishing needs the recorded export, and recording is
refused once it is aborted, and aborting once it is exported); from exported on its epoch is burnt in the Delta log
first. Every step may be repeated, so recovery may be killed too.

Interrupted claims are also settled without waiting for the next flush, a bounded amount of work at a time. A claim that
cannot be settled now, because the lake does not answer, waits like any failed flush of its dataset: it is neither asked
by every call nor does it keep the others waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from timestore_pipeline.errors import Conflict, Fenced, TimestoreError
from timestore_pipeline.flush.report import log_aborted, log_published
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.flush import Flush, FlushRef, FlushState, RetryReason
from timestore_pipeline.model.lake import EpochOutcome, app_id, claim_id
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.staging.ledger.flush_failures import retry_delay
from timestore_pipeline.system import clock

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an interrupted flush ended."""

    ref: FlushRef
    state: FlushState  # published or aborted


def settle_interrupted(area: StagingArea, lake: Lake, dataset: str) -> Settlement | None:
    """Settle the dataset's claim if its process is gone; None when there is none, or another process settles it."""
    for flush in area.ledger.flushes.in_flight(dataset):
        if area.is_interrupted(flush):
            why = f"process {flush.owner} of run {flush.run_id} is gone"
            with suppress(Fenced):  # another process settled it first
                return settle(area, lake, flush, RetryReason.INTERRUPTED, why)
    return None


def settle(
    area: StagingArea,
    lake: Lake,
    flush: Flush,
    reason: RetryReason,
    error: str,
    cause: BaseException | None = None,
) -> Settlement:
    """End the flush one way or the other.

    reason: label of the retry counter; cause: what made it fail, for the log, None when its process is gone. Raises
    `OutcomeUnknown` or `RetryLater` when the lake does not answer; the flush then stays in flight for the next attempt.
    Raises `Fenced` when another process has carried it on or ended it.
    """
    ref = FlushRef(flush.dataset, flush.epoch)
    table = lake.table(flush.dataset)
    state = _outcome(area, table, flush, error)
    if state is FlushState.PUBLISHED:
        if area.ledger.flushes.finalize(ref, None):
            log_published(area.ledger.flushes.get(ref))
    elif _abort(area, table, flush, reason, error):
        log_aborted(area.ledger.flushes.get(ref), reason, cause)
    area.held_claims.discard(ref)
    area.tidy_segments(flush.dataset)
    return Settlement(ref, state)


def ensure_table(table: LakeTable, record: DatasetRecord) -> Partitioning:
    """Create the dataset's table or add the columns it lacks."""
    assert record.schema is not None, "a claimed dataset has a schema"
    partitioning = partitioning_of(record)
    table.ensure(record.schema, partitioning)
    return partitioning


def partitioning_of(record: DatasetRecord) -> Partitioning:
    """How the rows of a dataset that was staged to are laid out; not at all as long as that is open."""
    assert record.schema is not None, "a claimed dataset has a schema"
    return Partitioning.of(record.schema, record.granularity or Granularity.NONE, record.time_column)


def _outcome(area: StagingArea, table: LakeTable, flush: Flush, why: str) -> FlushState:
    if flush.state is FlushState.CLAIMED:
        return FlushState.ABORTED
    if not table.exists():
        ensure_table(table, area.ledger.schema_changes.settle_for_table(flush.dataset)[1])
    outcome = table.burn(app_id(area.shard, flush.dataset), flush.epoch, why, claim_id(flush))
    return FlushState.PUBLISHED if outcome is EpochOutcome.PUBLISHED else FlushState.ABORTED


def _abort(area: StagingArea, table: LakeTable, flush: Flush, reason: RetryReason, error: str) -> bool:
    """Return the batches first: files that nothing names are garbage, batches that nothing claims are a loss.

    False when it was aborted already.
    """
    ref = FlushRef(flush.dataset, flush.epoch)
    files = area.ledger.flushes.files(ref)
    if not area.ledger.flushes.abort(ref, flush.state, error, reason):
        return False
    try:
        table.discard(files)
    except Conflict:
        raise
    except (TimestoreError, OSError) as problem:
        _log.warning("flush %d of %s: unpublished files stay behind: %s", ref.epoch, ref.dataset, problem)
    return True


@dataclass(frozen=True, slots=True)
class SettledFlushes:
    """The result of one call."""

    settled: Sequence[Settlement]
    errors: Sequence[TimestoreError]  # each dataset's claim waits for its next try
    left: int  # interrupted claims for which it had no time


def settle_all_interrupted(area: StagingArea, lake: Lake, budget: timedelta) -> SettledFlushes:
    """Settle interrupted claims until `budget` is used up; one that was begun is finished."""
    deadline = clock.monotonic() + budget.total_seconds()
    settled: list[Settlement] = []
    errors: list[TimestoreError] = []
    due = [backlog.dataset for backlog in area.waiting() if backlog.interrupted and not backlog.backs_off(clock.now())]
    while due and clock.monotonic() < deadline:
        try:
            settlement = settle_or_postpone(area, lake, due.pop(0))
        except TimestoreError as error:
            errors.append(error)
        else:
            settled += [settlement] if settlement is not None else []
    return SettledFlushes(settled, errors, len(due))


def settle_or_postpone(area: StagingArea, lake: Lake, dataset: str) -> Settlement | None:
    """Settle the dataset's claim if it was interrupted; counts a failure and raises its error."""
    try:
        return settle_interrupted(area, lake, dataset)
    except TimestoreError:
        postpone(area, dataset)
        raise


def postpone(area: StagingArea, dataset: str) -> None:
    """Back off after a failure to settle: without a pause the sensors would try at every tick."""
    failures = area.backlog(dataset).failures
    area.ledger.flush_failures.postpone(dataset, clock.now() + retry_delay(failures))

"""Jobs that operators launch by hand, as often as they like; each may be terminated at any time and launched again.

`drain_all` publishes everything that is staged now, regardless of thresholds; before a shutdown or a migration. It
requests a manual flush of each dataset before it claims anything. So if a drain is terminated or killed at any op, the
flush sensor finishes it; if it is launched again, it takes the rest.

`recover_flushes` is `timestore recover` from the UI, for operators who do not want to wait for the sensors.
"""

import dagster as dg

from timestore_pipeline.defs.claiming import Order, claim_each
from timestore_pipeline.defs.events import materializations
from timestore_pipeline.defs.job import (
    SHARD_TAG,
    Opened,
    Plain,
    export_partitions,
    finalize_flushes,
    publish_tables,
    push_after_failure,
    push_after_success,
)
from timestore_pipeline.model.flush import FlushState, Trigger
from timestore_pipeline.recovery.shard_recovery import Recovery, recover


@dg.op
def claim_everything(context: dg.OpExecutionContext, timestore: Opened) -> Plain:
    """Ask for a flush of every dataset with a backlog, paused ones too, and claim it."""
    orders = [Order(status.backlog.dataset, Trigger.MANUAL, status.settings) for status in timestore.waiting()]
    for order in orders:
        timestore.area.ledger.datasets.request_flush(order.dataset)
    context.log.info("%d datasets have something staged", len(orders))
    return claim_each(context, timestore, orders).to_plain()


@dg.op
def confirm_drained(context: dg.OpExecutionContext, timestore: Opened, finalized: Plain) -> None:
    """Fail if any batch that was staged before the drain is left; batches staged since then do not count."""
    left = [status for status in timestore.waiting() if status.backlog.manual_requested_at is not None]
    if left:
        listed = "\n".join(f"- {s.backlog.dataset}: {s.backlog.queued.rows} rows; {s.decision.reason}" for s in left)
        raise dg.Failure(f"not drained yet; the flush sensor continues with these, or launch again:\n{listed}")
    context.log.info("drained %d datasets", len(finalized["flushes"]))


@dg.graph(
    description="Publish everything that is staged now, paused datasets too. No configuration. Safe to launch again."
)
def drain_datasets() -> None:
    exported = export_partitions(claim_everything())
    confirm_drained(finalize_flushes(publish_tables(exported)))


def drain_all(shard: str) -> dg.JobDefinition:
    """The job of one shard."""
    return drain_datasets.to_job(
        name="drain_all",
        tags={SHARD_TAG: shard},
        hooks={push_after_success, push_after_failure},
        executor_def=dg.in_process_executor,
    )


@dg.op
def settle_and_tidy(context: dg.OpExecutionContext, timestore: Opened) -> None:
    """Settle interrupted flushes, roll up journals, remove leftovers."""
    recovery = recover(timestore.area, timestore.lake)
    for settlement in recovery.settled:
        context.log.info("%s: flush %d is %s now", settlement.ref.dataset, settlement.ref.epoch, settlement.state)
        if settlement.state is FlushState.PUBLISHED:
            for event in materializations(timestore, timestore.area.ledger.flushes.get(settlement.ref)):
                context.log_event(event)
    context.log.info("%d segments rolled up from journals, %d removed", len(recovery.rolled_up), recovery.drained)
    _raise_unsettled(recovery)


@dg.graph(description="Settle flushes of processes that are gone and tidy up after them. Safe at any time.")
def settle_interrupted_flushes() -> None:
    settle_and_tidy()


def recover_flushes(shard: str) -> dg.JobDefinition:
    """The job of one shard."""
    return settle_interrupted_flushes.to_job(
        name="recover_flushes", tags={SHARD_TAG: shard}, executor_def=dg.in_process_executor
    )


def _raise_unsettled(recovery: Recovery) -> None:
    left = [f"- {error}" + (f" [{error.hint}]" if error.hint else "") for error in recovery.errors]
    left += [f"- journal {journal.journal_id}: {journal.reason}" for journal in recovery.left_out]
    if left:
        raise dg.Failure("not everything could be settled yet; nothing is lost:\n" + "\n".join(left))

"""`recover_flushes`: `timestore recover` from the UI, for operators who do not want to wait for the sensors.

Every step may be interrupted and repeated, so the run may be terminated and launched again.
"""

import dagster as dg

from timestore_pipeline.defs.events import materializations
from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.flush.recovery import Recovery, recover
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.wiring import Timestore


@dg.op
def settle_and_tidy(context: dg.OpExecutionContext, timestore: dg.ResourceParam[Timestore]) -> None:
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

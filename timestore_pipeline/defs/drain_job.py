"""`drain_all`: publish everything that is staged now, regardless of thresholds; before a shutdown or a migration.

It requests a manual flush of each dataset before it claims anything. So if a drain is terminated or killed at any op,
the flush sensor finishes it; if it is launched again, it takes the rest.
"""

from typing import Any

import dagster as dg

from timestore_pipeline.defs import ops
from timestore_pipeline.defs.claiming import Order, claim_each
from timestore_pipeline.defs.hooks import push_after_failure, push_after_success
from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

Opened = dg.ResourceParam[Timestore]


@dg.op
def claim_everything(context: dg.OpExecutionContext, timestore: Opened) -> dict[str, Any]:
    """Ask for a flush of every dataset with a backlog, paused ones too, and claim it."""
    orders = [Order(status.backlog.dataset, Trigger.MANUAL, status.settings) for status in timestore.waiting()]
    for order in orders:
        timestore.area.ledger.datasets.request_flush(order.dataset)
    context.log.info("%d datasets have something staged", len(orders))
    return claim_each(context, timestore, orders).to_plain()


@dg.op
def confirm_drained(context: dg.OpExecutionContext, timestore: Opened, finalized: dict[str, Any]) -> None:
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
    exported = ops.export_partitions(claim_everything())
    confirm_drained(ops.finalize_flushes(ops.publish_tables(exported)))


def drain_all(shard: str) -> dg.JobDefinition:
    """The job of one shard."""
    return drain_datasets.to_job(
        name="drain_all",
        tags={SHARD_TAG: shard},
        hooks={push_after_success, push_after_failure},
        executor_def=dg.in_process_executor,
    )

"""A resource with which other Dagster code stages rows from its own assets and ops.

    defs = dg.Definitions(assets=[readings], resources={"staging": StagingResource()})

Rows with a receipt are durable, even if the run that staged them fails.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.settings import Settings


class StagingResource(dg.ConfigurableResource[StagingManager]):
    """Gives assets and ops the `StagingManager` itself: `staging: dg.ResourceParam[StagingManager]`.

    It has no configuration of its own: the `TIMESTORE_*` variables configure it, like every other producer on the host.
    A run whose environment or staging directory is unusable fails when it starts, with the errors of
    `Settings.from_env` and `StagingManager.open`.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[StagingManager]:  # noqa: ARG002
        with StagingManager.open(Settings.from_env()) as staging:
            yield staging


def run_key(context: dg.OpExecutionContext | dg.AssetExecutionContext, part: str = "") -> str:
    """An idempotency key for the rows that a step stages: re-executions of the run and retries of the step reuse it.

    Args:
        context: Of the op or asset.
        part: Distinguishes several batches of one step.
    """
    run = context.run
    step = context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context
    partition = context.partition_key if context.has_partition_key else ""
    return "/".join((run.root_run_id or run.run_id, str(step.op_handle), partition, part))

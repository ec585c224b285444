"""Other Dagster code stages from its own assets, once, however often a step is tried."""

from pathlib import Path

import dagster as dg

from tests.cli.running import readings as rows_of
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.defs.staging_resource import StagingResource, run_key
from timestore_pipeline.wiring import Timestore


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=1))
def tried_twice(context: dg.AssetExecutionContext, staging: dg.ResourceParam[StagingManager]) -> None:
    for part in ("a", "b"):
        staging.enqueue("weather", rows_of(5), idempotency_key=run_key(context, part))
    if context.retry_number == 0:
        raise RuntimeError("after the receipt")


@dg.op
def by_an_op(context: dg.OpExecutionContext, staging: dg.ResourceParam[StagingManager]) -> str:
    return staging.enqueue("weather", rows_of(5), idempotency_key=run_key(context)).batch_id


@dg.job(resource_defs={"staging": StagingResource()})
def staging_job() -> None:
    by_an_op()


def _staged(home: Path) -> int:
    with Timestore(Settings.build(home=home)) as store:
        return store.status("weather").backlog.pending.batches


def test_an_asset_whose_step_is_retried_stages_its_batches_once(home: Path, instance: dg.DagsterInstance) -> None:
    resources = {"staging": StagingResource()}
    assert dg.materialize([tried_twice], resources=resources, instance=instance, raise_on_error=False).success
    assert _staged(home) == 2


def test_another_run_stages_batches_of_its_own(home: Path) -> None:
    ids = {staging_job.execute_in_process().output_for_node("by_an_op") for _ in range(2)}
    assert (len(ids), _staged(home)) == (2, 2)

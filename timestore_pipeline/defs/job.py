"""`partition_build`: backlogs in, published partitions out, for one or many datasets in one run.

In one process: starting processes is most of what a run costs, and a step's process could outlive its run.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from timestore_pipeline.defs import ops
from timestore_pipeline.defs.hooks import push_after_failure, push_after_success

JOB_NAME = "partition_build"
SHARD_TAG = "timestore/shard"

_MOST_SUGGESTED = 20  # datasets in the launchpad before anything is typed


@dg.graph(description="Claim backlogs, export them as Parquet, publish them in one Delta commit per dataset.")
def flush_datasets() -> None:
    ops.finalize_flushes(ops.publish_tables(ops.export_partitions(ops.claim_backlogs())))


def partition_build(shard: str, datasets: Sequence[str] = ()) -> dg.JobDefinition:
    """The job of one shard; the tag separates its runs from those of other shards in the same Dagster instance.

    datasets: of which the launchpad suggests the first, so that it holds a configuration that can be launched as it is.
    """
    return flush_datasets.to_job(
        name=JOB_NAME,
        tags={SHARD_TAG: shard},
        config=_suggestion(datasets),
        hooks={push_after_success, push_after_failure},
        executor_def=dg.in_process_executor,
    )


def _suggestion(datasets: Sequence[str]) -> dict[str, Any] | None:
    """One with nothing staged is skipped; None without datasets."""
    flushes = [{"dataset": dataset} for dataset in datasets[:_MOST_SUGGESTED]]
    return {"ops": {"claim_backlogs": {"config": {"flushes": flushes}}}} if flushes else None

"""The four ops of `partition_build`, one per phase; each goes through the run's datasets.

An op per phase, not per dataset: a step costs Dagster up to 50 ms, a dataset in a loop costs nothing. None has a retry
policy: Dagster would run an op again although an operator has terminated it. The library logs one line for each dataset
that succeeds: a Dagster event for every dataset and phase would cost more than the flush.
"""

from typing import Any

import dagster as dg

from timestore_pipeline.defs.carry_out import export_each, finalize_each, publish_each
from timestore_pipeline.defs.claiming import claim_each, orders_of
from timestore_pipeline.defs.flush_config import ClaimConfig
from timestore_pipeline.defs.handover import Handover
from timestore_pipeline.wiring import Timestore

Plain = dict[str, Any]  # a `Handover`
Context = dg.OpExecutionContext
Opened = dg.ResourceParam[Timestore]


@dg.op
def claim_backlogs(context: Context, config: ClaimConfig, timestore: Opened) -> Plain:
    """Take the next epoch of every dataset, with all its pending batches. Crash: the next flush settles the claims."""
    return claim_each(context, timestore, orders_of(timestore, config)).to_plain()


@dg.op
def export_partitions(context: Context, timestore: Opened, claimed: Plain) -> Plain:
    """Write the claims' Parquet files, durable and invisible. Crash: files that no commit names."""
    return export_each(context, timestore, Handover.from_plain(claimed)).to_plain()


@dg.op
def publish_tables(context: Context, timestore: Opened, exported: Plain) -> Plain:
    """Commit each dataset's files in one Delta commit. Crash: the Delta log says whether it happened."""
    return publish_each(context, timestore, Handover.from_plain(exported)).to_plain()


@dg.op
def finalize_flushes(context: Context, timestore: Opened, published: Plain) -> Plain:
    """Mark the batches published, free their space, report. Crash: the next flush finalizes what the log has."""
    return finalize_each(context, timestore, Handover.from_plain(published)).to_plain()

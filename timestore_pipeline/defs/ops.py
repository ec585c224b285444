"""The four ops of `partition_build`, one per phase; each goes through the run's datasets.

An op per phase, not per dataset: a step costs Dagster up to 50 ms, a dataset in a loop costs nothing. None has a retry
policy: Dagster would run an op again although an operator has terminated it.
"""

from typing import Any

import dagster as dg

from timestore_pipeline.defs.claiming import claim_each, refuse_unknown, tell_set_aside_since
from timestore_pipeline.defs.events import materializations
from timestore_pipeline.defs.flush_config import ClaimConfig
from timestore_pipeline.defs.handover import CarriedFlush, Handover
from timestore_pipeline.defs.isolation import in_isolation, raise_failures
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.wiring import Timestore

Plain = dict[str, Any]  # a `Handover`
Context = dg.OpExecutionContext
Opened = dg.ResourceParam[Timestore]


@dg.op
def claim_backlogs(context: Context, config: ClaimConfig, timestore: Opened) -> Plain:
    """Take the next epoch of every dataset, with all its sealed batches. Crash: the next flush settles the claims."""
    refuse_unknown(timestore, config.flushes)
    return claim_each(context, timestore, config.flushes).to_plain()


@dg.op
def export_partitions(context: Context, timestore: Opened, claimed: Plain) -> Plain:
    """Write the claims' Parquet files, durable and invisible. Crash: garbage that no commit names."""

    def export(carried: CarriedFlush) -> CarriedFlush:
        flush = timestore.pipeline.export(carried.ref, timestore.export_options(carried.options))
        tell_set_aside_since(context, timestore, flush)
        context.log.info("%s: %d rows in %d files", flush.dataset, flush.volume.rows, flush.files)
        return carried

    return in_isolation(Handover.from_plain(claimed), export, context.log).to_plain()


@dg.op
def publish_tables(context: Context, timestore: Opened, exported: Plain) -> Plain:
    """Commit each dataset's files in one Delta commit. Crash: the Delta log says whether it happened."""

    def publish(carried: CarriedFlush) -> CarriedFlush:
        version = timestore.pipeline.publish(carried.ref)
        context.log.info("%s: epoch %d is table version %s", carried.ref.dataset, carried.ref.epoch, version)
        return carried.at_version(version)

    return in_isolation(Handover.from_plain(exported), publish, context.log).to_plain()


@dg.op
def finalize_flushes(context: Context, timestore: Opened, published: Plain) -> Plain:
    """Mark the batches published, free their space, report. Crash: the next flush finalizes what the log has."""

    def finalize(carried: CarriedFlush) -> CarriedFlush:
        known = timestore.area.ledger.flushes.get(carried.ref).state is FlushState.PUBLISHED
        flush = timestore.pipeline.finalize(carried.ref, carried.version)
        if known:
            context.log.info("%s: epoch %d was final already", flush.dataset, flush.epoch)
        else:
            for event in materializations(timestore, flush):
                context.log_event(event)
        return carried

    result = in_isolation(Handover.from_plain(published), finalize, context.log)
    raise_failures(result)
    return result.to_plain()

"""The four ops of `partition_build`, one per phase; each goes through the run's datasets.

An op per phase, not per dataset: a step costs Dagster up to 50 ms, a dataset in a loop costs nothing. None has a retry
policy: Dagster would run an op again although an operator has terminated it. The library logs one line for each dataset
that succeeds: a Dagster event for every dataset and phase would cost more than the flush.
"""

import logging
from typing import Any

import dagster as dg

from timestore_pipeline.defs.claiming import claim_each, log_set_aside_since, orders_of
from timestore_pipeline.defs.events import materializations
from timestore_pipeline.defs.flush_config import ClaimConfig
from timestore_pipeline.defs.flush_phases import WorkerPool, raise_failures, run_phase
from timestore_pipeline.defs.handover import CarriedFlush, Handover
from timestore_pipeline.model.flush import Flush, FlushState
from timestore_pipeline.wiring import Timestore

Plain = dict[str, Any]  # a `Handover`
Context = dg.OpExecutionContext
Opened = dg.ResourceParam[Timestore]

_log = logging.getLogger(__name__)


@dg.op
def claim_backlogs(context: Context, config: ClaimConfig, timestore: Opened) -> Plain:
    """Take the next epoch of every dataset, with all its pending batches. Crash: the next flush settles the claims."""
    return claim_each(context, timestore, orders_of(timestore, config)).to_plain()


@dg.op
def export_partitions(context: Context, timestore: Opened, claimed: Plain) -> Plain:
    """Write the claims' Parquet files, durable and invisible. Crash: files that no commit names."""
    pool = _worker_pool(timestore)

    def export(carried: CarriedFlush) -> Flush:
        sharers = pool.threads if pool.shares_with(carried) else 1
        return timestore.pipeline.export(carried.ref, timestore.export_options(carried.settings, sharers))

    def report(carried: CarriedFlush, flush: Flush) -> CarriedFlush:
        log_set_aside_since(context, timestore, flush)
        return carried

    before = Handover.from_plain(claimed)
    after = run_phase("exported", before, work=export, report=report, log=context.log, pool=pool)
    return after.to_plain()


@dg.op
def publish_tables(context: Context, timestore: Opened, exported: Plain) -> Plain:
    """Commit each dataset's files in one Delta commit. Crash: the Delta log says whether it happened."""

    def publish(carried: CarriedFlush) -> int | None:
        return timestore.pipeline.publish(carried.ref, carried.settings)

    before, pool = Handover.from_plain(exported), _worker_pool(timestore)
    after = run_phase("published", before, work=publish, report=CarriedFlush.at_version, log=context.log, pool=pool)
    return after.to_plain()


@dg.op
def finalize_flushes(context: Context, timestore: Opened, published: Plain) -> Plain:
    """Mark the batches published, free their space, report. Crash: the next flush finalizes what the log has."""

    def finalize(carried: CarriedFlush) -> tuple[Flush, bool]:
        was_final = timestore.area.ledger.flushes.get(carried.ref).state is FlushState.PUBLISHED
        return timestore.pipeline.finalize(carried.ref, carried.version), was_final

    def report(carried: CarriedFlush, result: tuple[Flush, bool]) -> CarriedFlush:
        flush, was_final = result
        if was_final:
            _log.info("%s: epoch %d was final already", flush.dataset, flush.epoch)
        else:
            for event in materializations(timestore, flush, carried.settings):
                context.log_event(event)
        return carried

    before, pool = Handover.from_plain(published), _worker_pool(timestore)
    after = run_phase("finalized", before, work=finalize, report=report, log=context.log, pool=pool)
    raise_failures(after)
    return after.to_plain()


def _worker_pool(timestore: Timestore) -> WorkerPool:
    """A flush is small if one thread's share of the memory is enough to sort it."""
    threads = timestore.settings.run_threads
    return WorkerPool(threads, timestore.export_options(sharers=threads).sortable_bytes)

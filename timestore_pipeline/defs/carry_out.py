"""The phases of a flush that follow the claim, for all datasets of a run: export, publish, finalize.

The ops of `partition_build` are one phase each; *Materialize* on a dataset's page goes through them in one step.
"""

import logging

import dagster as dg

from timestore_pipeline.defs.claiming import log_set_aside_since
from timestore_pipeline.defs.events import materializations
from timestore_pipeline.defs.flush_phases import WorkerPool, raise_failures, run_phase
from timestore_pipeline.defs.handover import CarriedFlush, Handover
from timestore_pipeline.model.flush import Flush, FlushState
from timestore_pipeline.wiring import Timestore

Context = dg.OpExecutionContext

_log = logging.getLogger(__name__)


def export_each(context: Context, timestore: Timestore, claimed: Handover) -> Handover:
    """Write the claims' Parquet files, durable and invisible. Crash: files that no commit names."""
    pool = _worker_pool(timestore)

    def export(carried: CarriedFlush) -> Flush:
        sharers = pool.threads if pool.shares_with(carried) else 1
        return timestore.pipeline.export(carried.ref, timestore.export_options(carried.settings, sharers))

    def report(carried: CarriedFlush, flush: Flush) -> CarriedFlush:
        log_set_aside_since(context, timestore, flush)
        return carried

    return run_phase("exported", claimed, work=export, report=report, log=context.log, pool=pool)


def publish_each(context: Context, timestore: Timestore, exported: Handover) -> Handover:
    """Commit each dataset's files in one Delta commit. Crash: the Delta log says whether it happened."""

    def publish(carried: CarriedFlush) -> int | None:
        return timestore.pipeline.publish(carried.ref, carried.settings)

    report, pool = CarriedFlush.at_version, _worker_pool(timestore)
    return run_phase("published", exported, work=publish, report=report, log=context.log, pool=pool)


def finalize_each(context: Context, timestore: Timestore, published: Handover) -> Handover:
    """Mark the batches published, free their space, report; raises `dg.Failure` that names every failed dataset.

    Crash: the next flush finalizes what the log has.
    """

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

    pool = _worker_pool(timestore)
    finalized = run_phase("finalized", published, work=finalize, report=report, log=context.log, pool=pool)
    raise_failures(finalized)
    return finalized


def _worker_pool(timestore: Timestore) -> WorkerPool:
    """A flush is small if one thread's share of the memory is enough to sort it."""
    threads = timestore.settings.run_threads
    return WorkerPool(threads, timestore.export_options(sharers=threads).sortable_bytes)

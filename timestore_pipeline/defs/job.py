"""`partition_build`: backlogs in, published partitions out, for one or many datasets in one run.

In one process: starting processes is most of what a run costs, and a step's process could outlive its run.

One op per phase, each for all datasets of the run: a step costs Dagster up to 50 ms, a dataset in a loop costs nothing.
None has a retry policy: Dagster would run an op again although an operator has terminated it. The library logs one line
for each dataset that succeeds: a Dagster event for every dataset and phase would cost more than the flush.

*Materialize* on a dataset's page goes through the same phases in one step (`claim_each`, `export_each` …).
"""

import logging
from collections.abc import Sequence
from typing import Any

import dagster as dg

from timestore_pipeline.defs.claiming import claim_each, log_set_aside_since, orders_of
from timestore_pipeline.defs.events import materializations
from timestore_pipeline.defs.flush_config import ClaimConfig
from timestore_pipeline.defs.flush_phases import WorkerPool, raise_failures, run_phase
from timestore_pipeline.defs.handover import CarriedFlush, Handover
from timestore_pipeline.model.flush import Flush, FlushState
from timestore_pipeline.wiring import Timestore

JOB_NAME = "partition_build"
SHARD_TAG = "timestore/shard"

_MOST_SUGGESTED = 20  # datasets in the launchpad before anything is typed

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
    return export_each(context, timestore, Handover.from_plain(claimed)).to_plain()


@dg.op
def publish_tables(context: Context, timestore: Opened, exported: Plain) -> Plain:
    """Commit each dataset's files in one Delta commit. Crash: the Delta log says whether it happened."""
    return publish_each(context, timestore, Handover.from_plain(exported)).to_plain()


@dg.op
def finalize_flushes(context: Context, timestore: Opened, published: Plain) -> Plain:
    """Mark the batches published, free their space, report. Crash: the next flush finalizes what the log has."""
    return finalize_each(context, timestore, Handover.from_plain(published)).to_plain()


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


@dg.success_hook(required_resource_keys={"metrics"})
def push_after_success(context: dg.HookContext) -> None:
    """Push metrics if a push is due. A killed run calls no hook; the sensor's heartbeat pushes instead."""
    context.resources.metrics.push(context.log)


@dg.failure_hook(required_resource_keys={"metrics"})
def push_after_failure(context: dg.HookContext) -> None:
    context.resources.metrics.push(context.log)


@dg.graph(description="Claim backlogs, export them as Parquet, publish them in one Delta commit per dataset.")
def flush_datasets() -> None:
    finalize_flushes(publish_tables(export_partitions(claim_backlogs())))


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

"""Which datasets belong to an active run already, and which runs count as started although their worker is gone.

Launching a dataset twice is harmless, because the second claim finds nothing or a flush in flight, but it costs a run.
Not launching it at all strands its backlog. So a run holds its datasets only as long as it can still flush them:

- queued: it waits in Dagster's storage and cannot vanish, however long the queue is;
- being launched, or started and not yet signed by its worker: for two minutes from its last change of state; after
  that, the launch has failed, or run monitoring is about to report that it has;
- signed (`resource.PROCESS_TAG`): as long as that process is alive and renews its lease. The kernel drops its lock
  when the process ends, so a worker that was killed together with its code server blocks nothing, although Dagster
  keeps its run as started for ever. A stopped worker blocks its datasets for one lease.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.defs.resource import PROCESS_TAG
from timestore_pipeline.staging.area import StagingArea

LAUNCH_TIMEOUT = timedelta(seconds=120)  # as run monitoring's start_timeout_seconds in dagster.yaml

_WORKING = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
_ACTIVE = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, *_WORKING]


def busy_datasets(instance: dg.DagsterInstance, area: StagingArea, now: datetime) -> dict[str, str]:
    """Dataset -> id of the run of this shard that will flush it or is about to."""
    return {
        dataset: record.dagster_run.run_id
        for record in _active(instance, area.shard)
        if _is_coming(record, area, now)
        for dataset in requested_datasets(record.dagster_run.run_config)
    }


def active_run(instance: dg.DagsterInstance, area: StagingArea, now: datetime, job_name: str) -> str | None:
    """Id of a run of this job and shard that is running or about to; None = there is none."""
    of_job = (record for record in _active(instance, area.shard) if record.dagster_run.job_name == job_name)
    return next((record.dagster_run.run_id for record in of_job if _is_coming(record, area, now)), None)


def vanished_runs(instance: dg.DagsterInstance, area: StagingArea) -> list[dg.DagsterRun]:
    """Runs that count as started although the process that signed them is gone.

    A run that is just ending looks like this for an instant, between its worker's exit and its last event: a caller
    ends a run only if it is listed again a while later.
    """
    runs = [record.dagster_run for record in _active(instance, area.shard)]
    return [run for run in runs if run.status in _WORKING and _worker_lives(run, area) is False]


def requested_datasets(run_config: Mapping[str, Any]) -> list[str]:
    """The datasets of a run of this job; none when its configuration is not one that the job accepts."""
    try:
        return [flush["dataset"] for flush in run_config["ops"]["claim_backlogs"]["config"]["flushes"]]
    except (KeyError, TypeError):
        return []


def _active(instance: dg.DagsterInstance, shard: str) -> Iterator[dg.RunRecord]:
    """Of any job; only `partition_build` names datasets."""
    yield from instance.get_run_records(dg.RunsFilter(tags={SHARD_TAG: shard}, statuses=_ACTIVE))


def _is_coming(record: dg.RunRecord, area: StagingArea, now: datetime) -> bool:
    run = record.dagster_run
    if run.status is dg.DagsterRunStatus.QUEUED:
        return True
    works = _worker_works(run, area) if run.status in _WORKING else None
    return works if works is not None else now - record.update_timestamp < LAUNCH_TIMEOUT


def _worker_lives(run: dg.DagsterRun, area: StagingArea) -> bool | None:
    """None = no worker has signed the run yet."""
    process = run.tags.get(PROCESS_TAG)
    return None if process is None else area.identity.is_alive(process)


def _worker_works(run: dg.DagsterRun, area: StagingArea) -> bool | None:
    """The same, but a stopped or hung worker counts as gone: its claims are settled without it."""
    process = run.tags.get(PROCESS_TAG)
    return None if process is None else area.is_working(process)

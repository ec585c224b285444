"""Sensor ticks and runs in any state, without a daemon."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from tests.defs.flushing import job, run_config
from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.defs.recovery_sensor import flush_recovery_sensor
from timestore_pipeline.defs.resource import PROCESS_TAG, TimestoreResource
from timestore_pipeline.defs.sensor import staging_flush_sensor

# Only runs of a known code location can be queued.
_ORIGIN = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("timestore_pipeline"), "__repository__"), "partition_build"
)
_EVENTS = {
    dg.DagsterRunStatus.QUEUED: [dg.DagsterEventType.RUN_ENQUEUED],
    dg.DagsterRunStatus.STARTING: [dg.DagsterEventType.RUN_STARTING],
    dg.DagsterRunStatus.STARTED: [dg.DagsterEventType.RUN_START],
    dg.DagsterRunStatus.CANCELING: [dg.DagsterEventType.RUN_START, dg.DagsterEventType.RUN_CANCELING],
}


def tick(instance: dg.DagsterInstance) -> Any:
    """What the flush sensor decided."""
    resources = {"timestore": TimestoreResource()}
    with dg.build_sensor_context(instance, resources=resources) as context:
        return staging_flush_sensor.evaluate_tick(context)


def recover(instance: dg.DagsterInstance, cursor: str | None = None) -> str | None:
    """One tick of the recovery sensor; its new cursor."""
    resources = {"timestore": TimestoreResource()}
    with dg.build_sensor_context(instance, cursor=cursor, resources=resources) as context:
        return flush_recovery_sensor.evaluate_tick(context).cursor


def run_in(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus,
    *datasets: str,
    since: datetime,
    process: str | None = None,
    shard: str = "shard-0",
) -> str:
    """A run of `partition_build` that got as far as `status` at `since`; its id."""
    signature = {} if process is None else {PROCESS_TAG: process}
    tags = {SHARD_TAG: shard, **signature}
    run = instance.create_run_for_job(job(), run_config=run_config(*datasets), tags=tags, remote_job_origin=_ORIGIN)
    for kind in _EVENTS.get(status, []):
        event = dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name)
        instance.run_storage.handle_run_event(run.run_id, event, since)
    return run.run_id

"""`staging_flush_sensor`: reads every backlog every few seconds and launches runs for the due datasets.

It keeps no state: backlogs are in the ledger, active runs in Dagster. If a tick dies, the next one does its work.
A run key launches only once, so each launch has a key of its own: a failed, cancelled or vanished run can then never
strand a backlog. The ledger ensures that nothing is flushed twice: a dataset has one claim at a time.
"""

from datetime import datetime
from typing import Any

import dagster as dg

from timestore_pipeline.defs.active_runs import busy_datasets
from timestore_pipeline.defs.dispatch import Launch, RunBounds, plan_launches, why_not
from timestore_pipeline.defs.flush_config import run_config
from timestore_pipeline.defs.job import JOB_NAME, SHARD_TAG
from timestore_pipeline.monitoring.telemetry.push import push_if_due, push_if_overdue
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

_PRIORITY_TAG = "dagster/priority"
_TAG_LENGTH = 255  # characters; some of Dagster's storages and every tag in the UI want it short


@dg.sensor(
    job_name=JOB_NAME,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=4,  # the daemon looks every 5 s; asking for 5 misses every other look
    description="Launches partition_build for datasets whose backlog is due.",
)
def staging_flush_sensor(
    context: dg.SensorEvaluationContext, timestore: dg.ResourceParam[Timestore]
) -> list[dg.RunRequest] | dg.SkipReason:
    """One query of the ledger, one of the active runs. The ledger's errors pass, so that the tick shows them."""
    statuses = timestore.waiting()
    now = clock.now()
    busy = busy_datasets(context.instance, timestore.area, now)
    bounds = RunBounds(timestore.settings.run_max_datasets, timestore.settings.run_max_bytes)
    launches = plan_launches(statuses, busy, bounds)
    _heartbeat(timestore, now, launching=bool(launches))
    if not launches:
        return dg.SkipReason(why_not(statuses, busy))
    in_force = {status.backlog.dataset: status.settings for status in statuses}
    configs = [run_config(launch, in_force, timestore.default_flush_settings) for launch in launches]
    return [
        _request(launch, config, timestore.area.shard, now, index)
        for index, (launch, config) in enumerate(zip(launches, configs, strict=True))
    ]


def _heartbeat(timestore: Timestore, now: datetime, *, launching: bool) -> None:
    """Called after the backlogs were read: a sensor that runs but cannot read the ledger must not count as alive.

    A tick that launches leaves the push to the run's hooks: no flush waits for a gateway that hangs.
    """
    timestore.area.ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(now)))
    push = push_if_overdue if launching else push_if_due
    push(timestore.area, timestore.settings)


def _request(launch: Launch, config: dict[str, Any], shard: str, now: datetime, index: int) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{shard}/{clock.to_micros(now)}/{index}",
        run_config=config,
        tags={
            SHARD_TAG: shard,
            _PRIORITY_TAG: str(launch.priority),
            "timestore/trigger": launch.trigger.value,
            "timestore/datasets": _datasets_tag(shard, launch.datasets),
        },
    )


def _datasets_tag(shard: str, names: list[str]) -> str:
    """`shard/a,b,c`, cut between names; the run's configuration has them all."""
    joined = f"{shard}/{','.join(names)}"
    if len(joined) <= _TAG_LENGTH:
        return joined
    room = _TAG_LENGTH - len(f",+{len(names)}")
    kept = joined[: room + 1].rsplit(",", 1)[0]
    return f"{kept},+{len(names) - kept.count(',') - 1}"

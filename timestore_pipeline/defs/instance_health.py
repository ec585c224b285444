"""The state of Dagster's daemon, run queue and our sensors in Dagster's storage; for `timestore doctor`.

Dagster itself calls a daemon healthy for half an hour after its last sign of life. Here its ticks count, as they do for
a batch that waits: a flush sensor is evaluated every five to ten seconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, SensorInstigatorData
from dagster._daemon.controller import get_daemon_statuses
from dagster._daemon.types import DaemonStatus

from timestore_pipeline.defs.landing_job import LANDING_SENSOR
from timestore_pipeline.defs.recovery_sensor import flush_recovery_sensor
from timestore_pipeline.defs.run_queue import gives_shards_slots, used_instance, waiting_runs
from timestore_pipeline.defs.sensor import staging_flush_sensor
from timestore_pipeline.defs.warm_runs.launcher import WarmRunLauncher
from timestore_pipeline.model.thresholds import SENSOR_LATE
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import CheckFinding, failed, ok, warning

_NEEDED = ("SENSOR", "QUEUED_RUN_COORDINATOR")  # without them nothing flushes by itself
_SENSORS = (staging_flush_sensor.name, flush_recovery_sensor.name)
_LAUNCHERS = (dg.DefaultRunLauncher.__name__, WarmRunLauncher.__name__)
_START = "start the daemon: `dagster-daemon run`, with the same DAGSTER_HOME"
_HEARTBEAT_LATE = 90.0  # seconds beyond the 30 s between two: the daemon waits up to 60 for a code server that hangs
_FORGOTTEN = timedelta(days=1)  # a location that has not ticked for so long was removed
_QUEUED_LATE = 60.0  # seconds


def instance_health(home: Path | None, shard: str, *, landing: bool = False) -> Iterator[CheckFinding]:
    """home: DAGSTER_HOME, None = unset. landing: whether there is a landing folder."""
    if home is None:
        yield ok("DAGSTER_HOME is unset: `dagster dev` keeps its own; the flush sensor's tick shows whether it runs")
        return
    with used_instance(home) as instance:
        if instance is None:
            yield warning(f"{home} holds no Dagster instance yet", "start Dagster with this DAGSTER_HOME")
            return
        now = clock.now()
        yield from _daemons(instance, now)
        yield from _launcher(instance)
        yield from _monitoring(instance)
        yield from _queue(instance, shard, now)
        yield from _stopped(instance, [*_SENSORS, *([LANDING_SENSOR] if landing else [])])


def _daemons(instance: dg.DagsterInstance, now: datetime) -> Iterator[CheckFinding]:
    statuses = get_daemon_statuses(instance, _NEEDED, now.timestamp(), heartbeat_tolerance_seconds=_HEARTBEAT_LATE)
    silent = {location: now - ticked for location, ticked in _last_ticks(instance).items()}
    if dead := sorted(name for name, status in statuses.items() if not status.healthy):
        named = ", ".join(_last(statuses[name], now) for name in dead)
        yield failed(f"Dagster's daemon has no recent heartbeat: {named}", _START)
    elif silent and min(silent.values()) > SENSOR_LATE:
        seconds = min(silent.values()).total_seconds()
        yield failed(f"Dagster's daemon has evaluated no flush sensor for {seconds:.0f} s", _START)
    else:
        yield ok(f"Dagster's daemon lives: {', '.join(_NEEDED)}")
        for location, age in sorted(silent.items()):
            if SENSOR_LATE < age < _FORGOTTEN:
                seen = (
                    f"the flush sensor of the code location {location} has not ticked for {age.total_seconds():.0f} s"
                )
                yield warning(seen, "start its code server, or remove the location from the workspace")


def _last_ticks(instance: dg.DagsterInstance) -> Mapping[str, datetime]:
    """Code location -> the last tick of its flush sensor, if that is switched on."""
    ticks: dict[str, datetime] = {}
    for state in instance.all_instigator_state():
        data = state.instigator_data
        switched_on = state.name == staging_flush_sensor.name and state.status is not InstigatorStatus.STOPPED
        if switched_on and isinstance(data, SensorInstigatorData) and data.last_tick_timestamp is not None:
            location = state.origin.repository_origin.code_location_origin.location_name
            ticks[location] = clock.from_micros(round(data.last_tick_timestamp * 1e6))
    return ticks


def _last(status: DaemonStatus, now: datetime) -> str:
    heartbeat = status.last_heartbeat
    age = "never" if heartbeat is None else f"silent for {now.timestamp() - heartbeat.timestamp:.0f} s"
    return f"{status.daemon_type} ({age})"


def _queue(instance: dg.DagsterInstance, shard: str, now: datetime) -> Iterator[CheckFinding]:
    """Runs that wait for others, of whatever shard, and a queue in which that can happen."""
    if not gives_shards_slots(instance):
        yield warning(
            "dagster.yaml does not limit runs per timestore/shard: those of another shard or job may take every slot",
            "copy concurrency.runs from the dagster.yaml of this product",
        )
    for held in waiting_runs(instance, shard, now):
        if held.run.seconds > _QUEUED_LATE:
            remedy = "terminate the runs that hang" if held.behind else "look at the daemon's log"
            yield failed(f"flushes wait in Dagster's queue: {held.sentence}", remedy)
            return


def _monitoring(instance: dg.DagsterInstance) -> Iterator[CheckFinding]:
    if not instance.run_monitoring_enabled:
        yield warning(
            "dagster.yaml has no run monitoring: a run whose launch is lost, or that hangs, holds its slot for ever",
            "copy run_monitoring from the dagster.yaml of this product",
        )


def _launcher(instance: dg.DagsterInstance) -> Iterator[CheckFinding]:
    """Compares the configured name: the launcher's package may not be installed here."""
    launcher = instance.get_ref().run_launcher_data
    if launcher is not None and launcher.class_name not in _LAUNCHERS:
        yield warning(
            f"runs are started by {launcher.class_name}, away from the code server",
            "mount the staging directory in its workers, on this host, or give timestore an instance of its own",
        )


def _stopped(instance: dg.DagsterInstance, sensors: Sequence[str]) -> Iterator[CheckFinding]:
    """All sensors run by default; Dagster stores a state only for those that were switched on or off."""
    states = {state.instigator_name: state.status for state in instance.all_instigator_state()}
    for name in sensors:
        if states.get(name) is InstigatorStatus.STOPPED:
            yield failed(f"the sensor {name} is switched off", f"dagster sensor start {name}, or in the UI")

"""The state of Dagster's daemon and of our sensors in Dagster's storage; for `timestore doctor`, which changes nothing.

Opening an instance creates its missing files, so an instance that was never used is not opened.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus
from dagster._daemon.controller import get_daemon_statuses
from dagster._daemon.types import DaemonStatus

from timestore_pipeline.defs.landing_sensor import LANDING_SENSOR
from timestore_pipeline.defs.recovery import flush_recovery_sensor
from timestore_pipeline.defs.sensor import staging_flush_sensor
from timestore_pipeline.defs.warm_runs.launcher import WarmRunLauncher
from timestore_pipeline.tools.doctor.examination import Finding, failed, ok, warning

_NEEDED = ("SENSOR", "QUEUED_RUN_COORDINATOR")  # without them nothing flushes by itself
_SENSORS = (staging_flush_sensor.name, flush_recovery_sensor.name)
_LAUNCHERS = (dg.DefaultRunLauncher.__name__, WarmRunLauncher.__name__)
_START = "start the daemon: `dagster-daemon run`, with the same DAGSTER_HOME"


def instance_health(home: Path | None, *, landing: bool = False) -> Iterator[Finding]:
    """home: DAGSTER_HOME, None = unset. landing: whether there is a landing folder."""
    if home is None:
        yield ok("DAGSTER_HOME is unset: `dagster dev` keeps its own; the flush sensor's tick shows whether it runs")
    elif not (home / "dagster.yaml").exists() and not (home / "history").exists():
        yield warning(f"{home} holds no Dagster instance yet", "start Dagster with this DAGSTER_HOME")
    else:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield from _daemons(instance)
            yield from _launcher(instance)
            yield from _stopped(instance, [*_SENSORS, *([LANDING_SENSOR] if landing else [])])


def _daemons(instance: dg.DagsterInstance) -> Iterator[Finding]:
    statuses = get_daemon_statuses(instance, _NEEDED)
    dead = sorted(name for name, status in statuses.items() if not status.healthy)
    if dead:
        silent = ", ".join(_last(statuses[name]) for name in dead)
        yield failed(f"Dagster's daemon has no recent heartbeat: {silent}", _START)
    else:
        yield ok(f"Dagster's daemon lives: {', '.join(_NEEDED)}")


def _last(status: DaemonStatus) -> str:
    heartbeat = status.last_heartbeat
    return f"{status.daemon_type} ({'never' if heartbeat is None else 'silent'})"


def _launcher(instance: dg.DagsterInstance) -> Iterator[Finding]:
    """Compares the configured name: the launcher's package may not be installed here."""
    launcher = instance.get_ref().run_launcher_data
    if launcher is not None and launcher.class_name not in _LAUNCHERS:
        yield warning(
            f"runs are started by {launcher.class_name}, away from the code server",
            "mount the staging directory in its workers, on this host, or give timestore an instance of its own",
        )


def _stopped(instance: dg.DagsterInstance, sensors: Sequence[str]) -> Iterator[Finding]:
    """All sensors run by default; Dagster stores a state only for those that were switched on or off."""
    states = {state.instigator_name: state.status for state in instance.all_instigator_state()}
    for name in sensors:
        if states.get(name) is InstigatorStatus.STOPPED:
            yield failed(f"the sensor {name} is switched off", f"dagster sensor start {name}, or in the UI")

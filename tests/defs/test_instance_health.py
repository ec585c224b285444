"""Dagster's storage tells whether its daemon lives and our sensors are switched on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from demo.environment import REPOSITORY
from tests.defs.ticking import run_in
from timestore_pipeline.defs.instance_health import instance_health
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import Status


@pytest.fixture
def dagster_home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return tmp_path


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still, so that ages are exact."""
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)


def ticked(instance: dg.DagsterInstance, location: str, seconds_ago: float) -> None:
    """The flush sensor of a code location, as the daemon leaves it after a tick."""
    code = InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name=location)
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(code, "__repository__"), "staging_flush_sensor")
    data = SensorInstigatorData(clock.now().timestamp() - seconds_ago, min_interval=4)
    kind = dg._core.definitions.run_request.InstigatorType.SENSOR
    instance.add_instigator_state(InstigatorState(origin, kind, InstigatorStatus.DECLARED_IN_CODE, data))


def heard(instance: dg.DagsterInstance, seconds_ago: float = 0.0) -> None:
    for daemon in ("SENSOR", "QUEUED_RUN_COORDINATOR"):
        instance.add_daemon_heartbeat(DaemonHeartbeat(clock.now().timestamp() - seconds_ago, daemon, "test", []))


def seen(home: Path | None, status: Status, *, landing: bool = False) -> str:
    return "\n".join(
        finding.seen for finding in instance_health(home, "north", landing=landing) if finding.status is status
    )


def test_without_a_home_there_is_nothing_to_ask() -> None:
    assert "DAGSTER_HOME is unset" in seen(None, Status.OK)


def test_an_instance_is_not_made_by_looking(tmp_path: Path) -> None:
    assert "holds no Dagster instance yet" in seen(tmp_path, Status.WARNING)
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_that_never_ran_fails(dagster_home: Path) -> None:
    assert "QUEUED_RUN_COORDINATOR (never), SENSOR (never)" in seen(dagster_home, Status.FAILED)


def test_a_daemon_that_lives_is_fine_until_somebody_switches_the_sensor_off(dagster_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        heard(instance)
        assert "Dagster's daemon lives" in seen(dagster_home, Status.OK)
        location = InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name="timestore_pipeline")
        kind = dg._core.definitions.run_request.InstigatorType.SENSOR
        for name in ("staging_flush_sensor", "landing_sensor"):
            origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
            instance.add_instigator_state(
                InstigatorState(origin, kind, InstigatorStatus.STOPPED, SensorInstigatorData(min_interval=4))
            )
    assert seen(dagster_home, Status.FAILED) == "the sensor staging_flush_sensor is switched off"
    assert "landing_sensor is switched off" in seen(dagster_home, Status.FAILED, landing=True)


def test_runs_that_start_away_from_the_segments_are_a_warning(dagster_home: Path) -> None:
    assert "runs are started" not in seen(dagster_home, Status.WARNING)
    with (dagster_home / "dagster.yaml").open("a") as configuration:
        configuration.write("run_launcher: {module: not_installed_here, class: K8sRunLauncher}\n")
    assert "runs are started by K8sRunLauncher" in seen(dagster_home, Status.WARNING)


@pytest.mark.usefixtures("still")
def test_a_daemon_that_was_stopped_for_five_minutes_is_not_ok(dagster_home: Path) -> None:
    """Dagster itself calls it healthy for half an hour."""
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        heard(instance, 291)
    assert "SENSOR (silent for 291 s)" in seen(dagster_home, Status.FAILED)


@pytest.mark.usefixtures("still")
def test_a_daemon_without_ticks_is_not_ok_whatever_its_heartbeat(dagster_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        heard(instance)
        ticked(instance, "north", 291)
    assert seen(dagster_home, Status.FAILED) == "Dagster's daemon has evaluated no flush sensor for 291 s"


@pytest.mark.usefixtures("still")
def test_a_shard_that_is_not_ticked_beside_one_that_is_has_a_warning(dagster_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        heard(instance)
        ticked(instance, "north", 5)
        ticked(instance, "south", 400)
        ticked(instance, "removed", 200_000)
    assert seen(dagster_home, Status.FAILED) == ""
    warnings = seen(dagster_home, Status.WARNING)
    assert "the flush sensor of the code location south has not ticked for 400 s" in warnings
    assert "removed" not in warnings


def test_flushes_that_wait_in_the_queue_name_the_runs_of_the_other_shard(
    dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (dagster_home / "dagster.yaml").open("a") as configuration:
        configuration.write("concurrency: {runs: {max_concurrent_runs: 2}}\n")
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        heard(instance)
        hung = [run_in(instance, dg.DagsterRunStatus.STARTED, "w", since=clock.now(), shard="dead") for _ in range(2)]
        run_in(instance, dg.DagsterRunStatus.QUEUED, "weather", since=clock.now(), shard="north")
        assert seen(dagster_home, Status.FAILED) == ""
        now = clock.now() + timedelta(seconds=61)
        monkeypatch.setattr("timestore_pipeline.defs.instance_health.clock.now", lambda: now)
        failures = seen(dagster_home, Status.FAILED)
    assert failures.startswith("flushes wait in Dagster's queue: by run ")
    assert all(f"run {run_id[:8]} (partition_build, shard dead, started, 6" in failures for run_id in hung)


def test_a_bare_instance_is_a_warning_for_each_section_of_ours_that_it_lacks(dagster_home: Path) -> None:
    warnings = seen(dagster_home, Status.WARNING)
    assert "dagster.yaml does not limit runs per timestore/shard" in warnings
    assert "dagster.yaml has no run monitoring" in warnings
    shipped = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    with (dagster_home / "dagster.yaml").open("a") as configuration:
        configuration.write(yaml.safe_dump({name: shipped[name] for name in ("concurrency", "run_monitoring")}))
    assert seen(dagster_home, Status.WARNING) == ""

"""Dagster's storage tells whether its daemon lives and our sensors are switched on."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from timestore_pipeline import clock
from timestore_pipeline.defs.instance_health import instance_health
from timestore_pipeline.tools.doctor.examination import Status


@pytest.fixture
def dagster_home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return tmp_path


def seen(home: Path | None, status: Status, *, landing: bool = False) -> str:
    return "\n".join(finding.seen for finding in instance_health(home, landing=landing) if finding.status is status)


def test_without_a_home_there_is_nothing_to_ask() -> None:
    assert "DAGSTER_HOME is unset" in seen(None, Status.OK)


def test_an_instance_is_not_made_by_looking(tmp_path: Path) -> None:
    assert "holds no Dagster instance yet" in seen(tmp_path, Status.WARNING)
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_that_never_ran_fails(dagster_home: Path) -> None:
    assert "QUEUED_RUN_COORDINATOR (never), SENSOR (never)" in seen(dagster_home, Status.FAILED)


def test_a_daemon_that_lives_is_fine_until_somebody_switches_the_sensor_off(dagster_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for daemon in ("SENSOR", "QUEUED_RUN_COORDINATOR"):
            instance.add_daemon_heartbeat(DaemonHeartbeat(clock.now().timestamp(), daemon, "test", []))
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

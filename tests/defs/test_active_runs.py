"""How long a run holds its datasets: as long as it can still get to them, and not for ever."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from tests.defs.flushing import build, hourly
from tests.defs.ticking import run_in
from timestore_pipeline import StagingManager
from timestore_pipeline.defs.active_runs import LAUNCH_TIMEOUT, busy_datasets, requested_datasets
from timestore_pipeline.defs.resource import PROCESS_TAG
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

Status = dg.DagsterRunStatus
A_WHILE = LAUNCH_TIMEOUT + timedelta(seconds=1)
UNSIGNED = [Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING]


def busy(instance: dg.DagsterInstance, timestore: Timestore, after: timedelta = timedelta(0)) -> set[str]:
    return set(busy_datasets(instance, timestore.area, clock.now() + after))


@pytest.mark.parametrize("status", [Status.QUEUED, *UNSIGNED])
def test_a_fresh_run_holds_its_datasets(timestore: Timestore, instance: dg.DagsterInstance, status: Status) -> None:
    run_in(instance, status, "weather", "flights", since=clock.now())
    assert busy(instance, timestore) == {"weather", "flights"}


def test_a_queued_run_holds_its_datasets_however_long_the_queue_is(
    timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    run_in(instance, Status.QUEUED, "weather", since=clock.now())
    assert busy(instance, timestore, after=timedelta(days=1)) == {"weather"}


@pytest.mark.parametrize("status", UNSIGNED)
def test_a_run_that_no_worker_signed_lets_go_after_the_launch_timeout(
    timestore: Timestore, instance: dg.DagsterInstance, status: Status
) -> None:
    run_in(instance, status, "weather", since=clock.now())
    assert busy(instance, timestore, after=A_WHILE) == set()


def test_a_run_that_left_the_queue_late_is_as_fresh_as_its_launch(
    timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    run_in(instance, Status.STARTING, "weather", since=clock.now() + timedelta(hours=1))
    assert busy(instance, timestore, after=timedelta(hours=1)) == {"weather"}


@pytest.mark.parametrize("status", [Status.STARTED, Status.CANCELING])
def test_a_living_worker_holds_its_datasets_however_long_it_takes(
    timestore: Timestore, instance: dg.DagsterInstance, status: Status
) -> None:
    with Timestore(timestore.settings) as worker:
        run_in(instance, status, "weather", since=clock.now(), process=worker.area.identity.process_id)
        assert busy(instance, timestore, after=timedelta(days=1)) == {"weather"}


@pytest.mark.parametrize("status", [Status.STARTED, Status.CANCELING])
def test_a_dead_worker_holds_nothing(timestore: Timestore, instance: dg.DagsterInstance, status: Status) -> None:
    with Timestore(timestore.settings) as worker:
        run_in(instance, status, "weather", since=clock.now(), process=worker.area.identity.process_id)
    assert busy(instance, timestore) == set()


def test_a_signature_copied_from_the_run_before_does_not_count_while_a_run_is_launched(
    timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    run_in(instance, Status.STARTING, "weather", since=clock.now(), process="worker-of-the-parent")
    assert busy(instance, timestore) == {"weather"}


def test_runs_of_another_shard_hold_nothing_here(timestore: Timestore, instance: dg.DagsterInstance) -> None:
    run_in(instance, Status.QUEUED, "weather", since=clock.now(), shard="north")
    assert busy(instance, timestore) == set()


def test_a_finished_run_holds_nothing(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(1))
    build(instance, "weather")
    assert busy(instance, timestore) == set()


def test_a_worker_signs_its_run(staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(1))
    run = instance.get_run_by_id(build(instance, "weather").run_id)
    assert run is not None
    assert not timestore.area.identity.is_alive(run.tags[PROCESS_TAG])


@pytest.mark.parametrize("broken", [{}, {"ops": {}}, {"ops": {"claim_backlogs": {"config": {"flushes": ["weather"]}}}}])
def test_a_run_with_a_configuration_the_job_refuses_holds_nothing(broken: dict[str, object]) -> None:
    assert requested_datasets(broken) == []

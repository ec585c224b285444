"""`flush_recovery_sensor`: runs that nobody works on any more are ended, all others are left alone."""

from __future__ import annotations

import dagster as dg

from tests.defs.ticking import recover, run_in
from timestore_pipeline import StagingManager, clock
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

Status = dg.DagsterRunStatus


def state(instance: dg.DagsterInstance, run_id: str) -> Status:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_whose_worker_is_gone_is_ended_at_the_second_look(
    timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    run = run_in(instance, Status.STARTED, "weather", since=clock.now(), process="gone")
    cursor = recover(instance)
    assert state(instance, run) is Status.STARTED
    assert recover(instance, cursor) == "[]"
    assert state(instance, run) is Status.FAILURE


def test_published_segments_that_a_dead_worker_left_are_unlinked(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", [{"n": 1}])
    ref = timestore.pipeline.claim("weather", Trigger.MANUAL, "run").ref
    assert ref is not None
    timestore.pipeline.export(ref, timestore.export_options())
    timestore.area.ledger.flushes.finalize(ref, timestore.pipeline.publish(ref))
    assert timestore.area.dataset_usage("weather").total > 0
    recover(instance)
    assert timestore.area.dataset_usage("weather").total == 0


def test_a_run_that_was_only_just_ending_is_left_alone(timestore: Timestore, instance: dg.DagsterInstance) -> None:
    run = run_in(instance, Status.STARTED, "weather", since=clock.now(), process="gone")
    cursor = recover(instance)
    instance.report_run_canceled(instance.get_run_by_id(run))  # type: ignore[arg-type]
    recover(instance, cursor)
    assert state(instance, run) is Status.CANCELED


def test_a_run_with_a_living_worker_is_left_alone(timestore: Timestore, instance: dg.DagsterInstance) -> None:
    process = timestore.area.identity.process_id
    run = run_in(instance, Status.STARTED, "weather", since=clock.now(), process=process)
    assert recover(instance, recover(instance)) == "[]"
    assert state(instance, run) is Status.STARTED


def test_a_run_that_is_being_launched_is_run_monitorings_business(
    timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    run = run_in(instance, Status.STARTING, "weather", since=clock.now(), process="copied from its parent")
    assert recover(instance, recover(instance)) == "[]"
    assert state(instance, run) is Status.STARTING


def test_a_run_of_another_shard_is_left_to_its_own_sensor(timestore: Timestore, instance: dg.DagsterInstance) -> None:
    run = run_in(instance, Status.STARTED, "weather", since=clock.now(), process="over there", shard="north")
    recover(instance, recover(instance))
    assert state(instance, run) is Status.STARTED

"""`flush_recovery_sensor`: runs whose worker is gone are ended, all others continue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest

from tests.defs.flushing import hourly, published
from tests.defs.ticking import recover, run_in
from tests.staging.rolled import roll_up_all
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.defs import recovery_sensor
from timestore_pipeline.defs.resource import TimestoreResource
from timestore_pipeline.flush.settle import settle_all_interrupted
from timestore_pipeline.model.flush import FlushRef, FlushState, Trigger
from timestore_pipeline.system import clock
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
    roll_up_all(timestore.area)
    ref = timestore.pipeline.claim("weather", Trigger.MANUAL, "run").ref
    assert ref is not None
    timestore.pipeline.export(ref, timestore.export_options())
    timestore.area.ledger.flushes.finalize(ref, timestore.pipeline.publish(ref))
    assert timestore.area.dataset_usage("weather").total > 0
    recover(instance, "edited by hand")
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


@pytest.fixture
def stopped(staging: StagingManager) -> Iterator[Timestore]:
    """A process that claimed and exported, and then falls silent."""
    staging.enqueue("weather", hourly(4))
    with Timestore(Settings.from_env()) as process:
        ref = process.pipeline.claim("weather", Trigger.MANUAL, "run").ref
        assert ref is not None
        process.pipeline.export(ref, process.export_options())
        process.area.held_claims.close()
        yield process


def test_a_claim_is_settled_by_a_tick_once_its_owner_has_been_silent_for_a_lease(
    stopped: Timestore, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    recover(instance)
    assert timestore.status("weather").backlog.in_flight.rows == 4
    forget_heartbeat(stopped)
    recover(instance)
    assert timestore.status("weather").backlog.pending.rows == 4
    assert timestore.area.ledger.flushes.get(FlushRef("weather", 1)).state is FlushState.ABORTED


def test_a_flush_that_was_published_after_all_is_reported_by_the_tick_that_finds_it(
    stopped: Timestore, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    stopped.pipeline.publish(FlushRef("weather", 1))
    stopped.area.held_claims.close()
    forget_heartbeat(stopped)
    with dg.build_sensor_context(instance, resources={"timestore": TimestoreResource()}) as context:
        result = recovery_sensor.flush_recovery_sensor.evaluate_tick(context)
    assert {tuple(event.asset_key.path) for event in result.asset_events} == {("timestore", "weather")}
    assert [event.partition for event in result.asset_events] == ["2013-01-01"]
    assert published(timestore, "weather") == [0, 1, 2, 3]


def test_a_sweep_without_time_leaves_the_rest_to_the_next(stopped: Timestore, timestore: Timestore) -> None:
    timestore.area.lease = timedelta(0)
    assert settle_all_interrupted(timestore.area, timestore.lake, timedelta(0)).left == 1
    assert len(settle_all_interrupted(timestore.area, timestore.lake, timedelta(minutes=1)).settled) == 1


def forget_heartbeat(process: Timestore) -> None:
    """As if its last sign of life were an hour old."""
    with process.area.ledger.database.transaction() as tx:
        tx.execute("UPDATE processes SET heartbeat_at = heartbeat_at - 3600000000 WHERE heartbeat_at IS NOT NULL")

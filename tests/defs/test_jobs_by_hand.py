"""The jobs that an operator launches: what they do, what they say, and that they may be interrupted and repeated."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.defs.flushing import build, hourly, logged, published
from timestore_pipeline import StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.defs.resource import TimestoreResource
from timestore_pipeline.defs.verify_job import verify_round
from timestore_pipeline.model.flush import FlushState, Trigger
from timestore_pipeline.wiring import Timestore


def launch(instance: dg.DagsterInstance, job: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
    return defs().resolve_job_def(job).execute_in_process(config, instance=instance, raise_on_error=False)


def error_of(result: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.is_step_failure]
    assert event.step_failure_data.error is not None
    return event.step_failure_data.error.to_string()


def test_a_drain_publishes_everything_whatever_the_limits_and_pauses_say(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    staging.enqueue("flights", hourly(2))
    timestore.area.ledger.datasets.set_paused("flights", True)
    assert launch(instance, "drain_all").success
    assert (published(timestore, "weather"), published(timestore, "flights")) == ([0, 1, 2], [0, 1])


def test_a_drain_of_nothing_succeeds(timestore: Timestore, instance: dg.DagsterInstance) -> None:
    assert launch(instance, "drain_all").success


def test_a_drain_says_what_it_could_not_publish_and_leaves_it_to_the_sensor(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    assert timestore.pipeline.claim("weather", Trigger.MANUAL, "someone else").ref is not None
    assert "- weather: 3 rows" in error_of(launch(instance, "drain_all"))
    assert timestore.status("weather").backlog.manual_requested_at is not None


def test_a_drain_that_fails_names_the_dataset_and_can_be_launched_again(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, home: Path
) -> None:
    staging.enqueue("weather", hourly(3))
    (home / "lake").mkdir()
    (home / "lake" / "weather").write_text("not a table")
    assert "- weather (" in error_of(launch(instance, "drain_all"))
    (home / "lake" / "weather").unlink()
    assert launch(instance, "drain_all").success
    assert published(timestore, "weather") == [0, 1, 2]


def test_verification_records_both_verdicts_of_every_dataset(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    staging.enqueue("flights", hourly(3))
    build(instance, "weather")
    run = launch(instance, "verify_lake")
    assert run.success
    assert "every row of 2 datasets is accounted for" in logged(instance, run.run_id)
    assert {(e.asset_key.path[-1], e.check_name, e.passed) for e in run.get_asset_check_evaluations()} == {
        (dataset, check, True) for dataset in ("flights", "weather") for check in ("verified", "no_unmanaged_files")
    }


def test_verification_fails_with_what_is_wrong_after_it_looked_at_all(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("flights", hourly(3))
    staging.enqueue("weather", hourly(3))
    build(instance, "flights", "weather")
    for path in (timestore.settings.home / "lake" / "flights").rglob("*.parquet"):
        path.unlink()
    run = launch(instance, "verify_lake")
    assert "the books of 1 datasets do not add up:\n- flights: the table names" in error_of(run)
    keys = {name: dg.AssetCheckKey(asset_key(name), "verified") for name in ("flights", "weather")}
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys.values()))
    assert [records[key].status.value for key in keys.values()] == ["FAILED", "SUCCEEDED"]


def test_verification_of_an_unknown_dataset_is_refused_by_name(
    timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    config = {"ops": {"verify_datasets": {"config": {"datasets": ["wether"]}}}}
    assert "unknown dataset wether; nothing was verified" in error_of(launch(instance, "verify_lake", config))


def test_every_dataset_is_verified_once_in_a_day(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    names = [f"d{number:02}" for number in range(26)]
    for name in names:
        staging.enqueue(name, hourly(1))
    timestore.area.ledger.verifications.record(dict.fromkeys(names, 0), deep=False)
    asked: list[str] = []
    for hour in range(24):
        request = _round(instance, hour)
        asked += request.run_config["ops"]["verify_datasets"]["config"]["datasets"]
    assert sorted(asked) == names


def test_a_new_dataset_is_verified_within_ten_minutes(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(1))
    for minute in (7, 17, 57):  # its own turn comes at midnight
        config = _round(instance, 5, minute).run_config
        assert config["ops"]["verify_datasets"]["config"] == {"datasets": ["weather"]}
    assert launch(instance, "verify_lake").success
    assert isinstance(_round(instance, 6), dg.SkipReason)


def test_a_known_dataset_has_its_turn_once_an_hour(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(1))
    timestore.area.ledger.verifications.record({"weather": 0}, deep=False)
    asked = [isinstance(_round(instance, 0, minute), dg.RunRequest) for minute in (7, 17, 27, 37, 47, 57)]
    assert asked == [False, True, False, False, False, False]


def test_an_hour_without_datasets_launches_nothing(timestore: Timestore, instance: dg.DagsterInstance) -> None:
    assert isinstance(_round(instance, 5), dg.SkipReason)


def test_recovery_settles_what_a_dead_process_published_and_reports_it(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(2))
    with Timestore(timestore.settings) as worker:
        ref = worker.pipeline.claim("weather", Trigger.AGE, "vanished-run").ref
        assert ref is not None
        worker.pipeline.export(ref, worker.export_options())
        worker.pipeline.publish(ref)
    run = launch(instance, "recover_flushes")
    assert run.success
    assert timestore.area.ledger.flushes.get(ref).state is FlushState.PUBLISHED
    assert [event.partition for event in run.asset_materializations_for_node("settle_and_tidy")] == ["2013-01-01"]
    assert launch(instance, "recover_flushes").success


def test_maintenance_records_what_it_did_on_each_dataset(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    for _ in range(5):
        staging.enqueue("weather", hourly(2))
        build(instance, "weather")
    run = launch(instance, "lake_maintenance")
    assert run.success
    [event] = [e.asset_observation_data.asset_observation for e in run.all_events if e.is_asset_observation]
    assert event.asset_key == asset_key("weather")
    assert (event.metadata["files_before"].value, event.metadata["files_after"].value) == (5, 1)
    assert published(timestore, "weather") == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_maintenance_names_the_dataset_that_fails_after_it_did_the_others(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    for dataset in ("flights", "weather"):
        staging.enqueue(dataset, hourly(2))
    build(instance, "flights", "weather")
    log = timestore.settings.home / "lake" / "flights" / "_delta_log"
    (log / f"{0:020}.json").write_text("{")
    run = launch(instance, "lake_maintenance")
    assert "- flights: " in error_of(run)
    for dataset, problems in (("flights", 1), ("weather", 0)):
        [event] = instance.fetch_observations(asset_key(dataset), limit=1).records
        assert event.asset_observation is not None
        assert event.asset_observation.metadata["problems"].value == problems


def test_maintenance_of_an_unknown_dataset_is_refused_by_name(
    timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    config = {"ops": {"maintain_datasets": {"config": {"datasets": ["wether"], "dry_run": True}}}}
    assert "there is no dataset 'wether'; nothing was done" in error_of(launch(instance, "lake_maintenance", config))


@pytest.mark.parametrize("job", ["partition_build", "drain_all", "verify_lake", "recover_flushes", "lake_maintenance"])
def test_every_job_says_what_it_does_and_carries_its_shard(job: str) -> None:
    definition = defs().resolve_job_def(job)
    assert definition.description
    assert definition.tags == {"timestore/shard": "shard-0"}
    assert definition.executor_def is dg.in_process_executor


def _round(instance: dg.DagsterInstance, hour: int, minute: int = 17) -> Any:
    at = datetime(2026, 5, 17, hour, minute, tzinfo=UTC)
    resources = {"timestore": TimestoreResource()}
    with dg.build_schedule_context(instance, scheduled_execution_time=at, resources=resources) as context:
        return verify_round(context)

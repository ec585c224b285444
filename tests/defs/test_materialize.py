"""*Materialize* on a dataset's page: one step flushes the selected datasets, with the launchpad's options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from dagster._core.storage.tags import MAX_RUNTIME_SECONDS_TAG

from tests.defs.flushing import failure_of, hourly, job, logged, published, run_config
from timestore_pipeline import StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.defs import on_demand
from timestore_pipeline.defs.checks import AUDITED, FRESH, VERIFIED, WATCHED
from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

TODAY = clock.now().strftime("%Y-%m-%d")  # a partition that a dataset has before its first flush


def materialize(
    instance: dg.DagsterInstance, *datasets: str, config: dict[str, Any] | None = None
) -> dg.ExecuteInProcessResult:
    """What a click on Materialize launches, without the checks."""
    job = defs().resolve_implicit_global_asset_job_def()
    given = None if config is None else {"ops": {"flush_selected": {"config": config}}}
    return job.execute_in_process(
        given,
        instance=instance,
        raise_on_error=False,
        asset_selection=[asset_key(dataset) for dataset in datasets],
        partition_key=TODAY,
    )


def latest_answer(instance: dg.DagsterInstance, dataset: str, check: str) -> tuple[str, str]:
    """The run that answered, and its answer."""
    key = dg.AssetCheckKey(asset_key(dataset), check)
    [latest, *_] = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    return latest.run_id, latest.status.value


def test_every_dataset_can_be_materialized(staging: StagingManager) -> None:
    staging.enqueue("weather", hourly(3))
    staging.enqueue("sensors", [{"n": 1}])
    graph = defs().resolve_asset_graph()
    assert {key.path[-1] for key in graph.executable_asset_keys} == {"weather", "sensors"}


def test_the_selected_dataset_is_flushed_and_no_other(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    staging.enqueue("flights", hourly(2))
    run = materialize(instance, "weather")
    assert run.success
    assert (published(timestore, "weather"), published(timestore, "flights")) == ([0, 1, 2], [])
    [flush] = timestore.area.ledger.flushes.history("weather")
    assert (flush.run_id, flush.trigger) == (run.run_id, Trigger.MANUAL)


def test_the_run_is_the_shards_so_that_it_is_ended_when_its_worker_vanishes(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    run = instance.get_run_by_id(materialize(instance, "weather").run_id)
    assert run is not None
    assert run.tags[SHARD_TAG] == timestore.area.shard
    assert run.tags[MAX_RUNTIME_SECONDS_TAG] == "3600"


def test_a_run_may_be_given_more_time(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(3))
    given = {MAX_RUNTIME_SECONDS_TAG: "7200"}
    launched = job().execute_in_process(run_config("weather"), instance=instance, tags=given)
    run = instance.get_run_by_id(launched.run_id)
    assert run is not None
    assert run.tags[MAX_RUNTIME_SECONDS_TAG] == "7200"


def test_several_are_flushed_in_one_step(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    for dataset in ("weather", "flights", "trains"):
        staging.enqueue(dataset, hourly(2))
    run = materialize(instance, "weather", "flights")
    assert [event.step_key for event in run.all_events if event.is_step_success] == ["flush_selected"]
    assert [published(timestore, dataset) for dataset in ("weather", "flights", "trains")] == [[0, 1], [0, 1], []]


def test_the_days_that_got_rows_are_marked_whichever_was_chosen(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(30))
    run = materialize(instance, "weather")
    found = [(event.asset_key, event.partition) for event in run.get_asset_materialization_events()]
    assert found == [(asset_key("weather"), day) for day in ("2013-01-01", "2013-01-02", None)]


def test_nothing_staged_is_a_success_without_an_event(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(3))
    assert materialize(instance, "weather").success
    again = materialize(instance, "weather")
    assert again.success
    assert not again.get_asset_materialization_events()
    assert "weather: nothing to claim" in logged(instance, again.run_id)


def test_the_launchpads_options_are_those_of_the_flush(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    options = {"compression": "gzip", "sort_by": ["n"]}
    run = materialize(instance, "weather", config=options)
    [*_, event] = run.get_asset_materialization_events()
    settings = event.materialization.metadata["settings"].value
    assert isinstance(settings, dict)
    assert settings["sort_by"] == ["n"]
    [path] = timestore.lake.table("weather").to_arrow_dataset().files
    found = pq.ParquetFile(Path(timestore.lake.table("weather").uri, path)).metadata.row_group(0).column(0)
    assert found.compression == "GZIP"


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"row_group_size": 1}, "row_group_size"), ({"sort_by": ["colour"]}, "colour")],
)
def test_wrong_options_are_explained_before_anything_is_claimed(
    options: dict[str, Any],
    problem: str,
    staging: StagingManager,
    timestore: Timestore,
    instance: dg.DagsterInstance,
) -> None:
    staging.enqueue("weather", hourly(3))
    run = materialize(instance, "weather", config=options)
    assert not run.success
    assert problem in failure_of(run, "flush_selected")
    assert timestore.status("weather").backlog.queued.rows == 3


def _stage_one_that_fails(staging: StagingManager, home: Path) -> None:
    """`weather` cannot be published, `flights` can."""
    staging.enqueue("weather", hourly(3))
    staging.enqueue("flights", hourly(2))
    (home / "lake").mkdir()
    (home / "lake" / "weather").write_text("not a table")


def test_one_that_fails_is_named_and_the_others_are_published(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, home: Path
) -> None:
    _stage_one_that_fails(staging, home)
    run = materialize(instance, "weather", "flights")
    assert "- weather (" in failure_of(run, "flush_selected")
    assert published(timestore, "flights") == [0, 1]


def test_a_flush_in_flight_is_left_to_the_run_that_has_it(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    assert timestore.pipeline.claim("weather", Trigger.AGE, "another run").ref is not None
    run = materialize(instance, "weather")
    assert run.success
    assert "weather: skipped" in logged(instance, run.run_id)


def test_the_checks_that_were_selected_with_it_are_answered(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    """Or the page would show them in grey: Dagster skips their step."""
    staging.enqueue("weather", hourly(3))
    run = materialize(instance, "weather")
    assert run.success
    for name in (*WATCHED, *AUDITED):
        assert latest_answer(instance, "weather", name) == (run.run_id, "SUCCEEDED")


def test_the_checks_of_all_are_answered_although_one_dataset_fails(
    staging: StagingManager, instance: dg.DagsterInstance, home: Path
) -> None:
    _stage_one_that_fails(staging, home)
    run = materialize(instance, "weather", "flights")
    assert not run.success
    for dataset, verified in {"weather": "FAILED", "flights": "SUCCEEDED"}.items():
        found = {name: latest_answer(instance, dataset, name) for name in (*WATCHED, *AUDITED)}
        assert {run_id for run_id, _ in found.values()} == {run.run_id}
        assert found[VERIFIED] == (run.run_id, verified)
        assert {status for _, status in found.values()} <= {"SUCCEEDED", verified}


def test_the_checks_are_answered_although_an_option_is_refused(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    run = materialize(instance, "weather", config={"sort_by": ["colour"]})
    assert not run.success
    assert latest_answer(instance, "weather", FRESH) == (run.run_id, "SUCCEEDED")


def test_a_lake_that_cannot_be_checked_does_not_fail_the_flush(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise TimestoreError("the lake does not answer")

    monkeypatch.setattr(on_demand, "audit_dataset", unreachable)
    staging.enqueue("weather", hourly(3))
    assert materialize(instance, "weather").success
    assert published(timestore, "weather") == [0, 1, 2]

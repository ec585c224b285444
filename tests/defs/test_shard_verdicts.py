"""Shards share a dataset's page: a check is red until each failing shard has passed, and nothing alternates."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned

from tests.defs.colours import colour
from tests.defs.flushing import build, hourly
from tests.defs.sharing import FINE, LATE, WARNED, store, stored_now
from tests.defs.test_check_execution import execute
from timestore_pipeline import StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.defs.checks import Verdict
from timestore_pipeline.defs.shard_verdicts import failures_in, for_all_shards
from timestore_pipeline.defs.watch_tick import WatchState, with_failing
from timestore_pipeline.system import clock


def test_a_single_shard_stores_its_verdict_with_its_name(instance: dg.DagsterInstance) -> None:
    stored = store(instance, FINE, "north")
    assert (stored.passed, stored.description, stored.metadata["shard"].value) == (True, "fine", "north")
    assert "failing_shards" not in stored.metadata


def test_a_failing_shard_is_red_until_that_shard_passes(instance: dg.DagsterInstance) -> None:
    store(instance, LATE, "north")
    kept = store(instance, FINE, "south")
    assert (kept.passed, kept.description) == (False, "fine\nshard north: very late")
    cured = store(instance, FINE, "north")
    assert (cured.passed, cured.description) == (True, "fine")


def test_two_failing_shards_are_both_named_and_each_takes_back_its_own(instance: dg.DagsterInstance) -> None:
    store(instance, LATE, "north")
    both = store(instance, WARNED, "south")
    assert failures_in(both).keys() == {"north", "south"}
    assert both.severity is dg.AssetCheckSeverity.ERROR
    left = store(instance, FINE, "north")
    assert (left.passed, left.severity, list(failures_in(left))) == (False, dg.AssetCheckSeverity.WARN, ["south"])


def test_shards_that_disagree_do_not_alternate(instance: dg.DagsterInstance) -> None:
    events = 0
    for _ in range(10):
        for shard, verdict in (("north", LATE), ("south", FINE)):
            if stored_now(instance, verdict, clock.now(), shard):
                store(instance, verdict, shard)
                events += 1
    assert events == 1


def test_a_dead_shard_stays_red_through_another_ones_flushes(instance: dg.DagsterInstance) -> None:
    store(instance, LATE, "north")
    instance.report_runless_asset_event(dg.AssetMaterialization(FINE.key.asset_key))
    assert colour(instance, FINE.check) == "red"
    assert stored_now(instance, FINE, clock.now(), "south") == []  # it is shown already
    [verdict] = for_all_shards(instance, "south", [FINE])
    assert with_failing(WatchState(), [verdict]).failing == ("weather",)  # and looks at it at every tick


def test_a_failure_that_another_shard_overwrote_is_stored_again(instance: dg.DagsterInstance) -> None:
    """Both read the page before either stored."""
    [late], [fine] = (for_all_shards(instance, shard, [one]) for shard, one in (("north", LATE), ("south", FINE)))
    for verdict in (late, fine):
        instance.report_runless_asset_event(verdict.evaluation())
    assert stored_now(instance, LATE, clock.now(), "north") == ["very late"]


def test_a_click_on_execute_does_not_hide_the_other_shard(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(1))
    store(instance, LATE, "north")
    assert execute(instance, ("weather", "fresh")) == {("weather", "fresh"): False}


def test_a_check_that_is_being_executed_counts_as_unanswered(instance: dg.DagsterInstance) -> None:
    store(instance, LATE, "north")
    planned = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
        job_name="by_hand",
        event_specific_data=AssetCheckEvaluationPlanned(asset_key=FINE.key.asset_key, check_name="fresh"),
    )
    instance.report_dagster_event(
        planned, run_id=instance.create_run_for_job(defs().resolve_job_def("drain_all")).run_id
    )
    assert stored_now(instance, FINE, clock.now(), "south") == ["fine\nshard north: very late"]


@pytest.mark.parametrize("metadata", [{}, {"failing_shards": "north"}, {"failing_shards": {"north": "late"}}])
def test_an_evaluation_of_another_release_names_no_shard(metadata: dict[str, Any]) -> None:
    stored = dg.AssetCheckEvaluation(FINE.key.asset_key, "fresh", False, metadata)
    assert failures_in(stored) == {}


def test_verify_drops_what_a_retired_shard_found(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(1))
    build(instance, "weather")
    missing = Verdict("weather", "verified", False, "a file is missing")
    for verdict in (LATE, missing):
        store(instance, verdict, "north")
    job = defs().resolve_job_def("verify_lake")

    def verify(**config: object) -> dict[str, bool]:
        run_config = {"ops": {"verify_datasets": {"config": config}}}
        result = job.execute_in_process(run_config, instance=instance)
        return {event.check_name: event.passed for event in result.get_asset_check_evaluations()}

    assert verify() == {"verified": False, "no_unmanaged_files": True}
    assert set(verify(retired_shards=["north"]).values()) == {True}
    assert store(instance, FINE, "shard-0").passed


def test_verify_refuses_to_drop_its_own_shard(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    job = defs().resolve_job_def("verify_lake")
    run_config = {"ops": {"verify_datasets": {"config": {"retired_shards": ["shard-0"]}}}}
    with pytest.raises(dg.Failure, match="shard-0 is this shard; nothing was verified"):
        job.execute_in_process(run_config, instance=instance)

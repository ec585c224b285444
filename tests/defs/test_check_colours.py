"""The checks of a busy dataset are green or red: no flush greys an evaluation, and none stores one."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from tests.defs.colours import colour, colours
from tests.defs.flushing import build, hourly
from tests.defs.sharing import FINE, LATE, store
from tests.defs.test_check_execution import execute
from tests.defs.test_watch import loaded
from timestore_pipeline import StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.defs.checks import AUDITED, WATCHED
from timestore_pipeline.wiring import Timestore


@pytest.fixture
def busy(staging: StagingManager) -> StagingManager:
    staging.enqueue("weather", hourly(3))
    return staging


def flush(staging: StagingManager, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """A day of its own, so that the newest partition differs from all before."""
    staging.enqueue("weather", hourly(3, first=24 * len(instance.get_runs())))
    result = build(instance, "weather")
    assert result.success
    return result


@pytest.mark.parametrize("granularity", ["day", "none"])
def test_what_the_watch_found_stays_green_through_the_next_flushes(
    granularity: str, timestore: Timestore, busy: StagingManager, instance: dg.DagsterInstance
) -> None:
    timestore.set_metadata("weather", {"partition": {"granularity": granularity}})
    flush(busy, instance)
    with loaded(instance) as tick:
        for event in tick().asset_events:
            instance.report_runless_asset_event(event)
    for _ in range(2):
        assert {colour(instance, check) for check in WATCHED} == {"green"}
        flush(busy, instance)
    assert {colour(instance, check) for check in WATCHED} == {"green"}


def test_a_failure_stays_red_through_the_next_flushes(busy: StagingManager, instance: dg.DagsterInstance) -> None:
    flush(busy, instance)
    store(instance, LATE)
    flush(busy, instance)
    assert colour(instance, LATE.check) == "red"
    store(instance, FINE)
    flush(busy, instance)
    assert colour(instance, FINE.check) == "green"


def test_what_verify_found_stays_green_or_red_through_the_next_flushes(
    busy: StagingManager, instance: dg.DagsterInstance, home: Path
) -> None:
    flush(busy, instance)
    (home / "lake" / "weather" / "stray.parquet").write_bytes(b"PAR1")
    assert defs().resolve_job_def("verify_lake").execute_in_process(instance=instance).success
    flush(busy, instance)
    assert {check: colour(instance, check) for check in AUDITED} == {"verified": "green", "no_unmanaged_files": "red"}


def test_a_click_on_execute_stays_green_through_the_next_flushes(
    busy: StagingManager, instance: dg.DagsterInstance
) -> None:
    flush(busy, instance)
    execute(instance, *(("weather", check) for check in (*WATCHED, *AUDITED)))
    assert set(colours(instance).values()) == {"green"}
    flush(busy, instance)
    assert set(colours(instance).values()) == {"green"}


def test_without_a_partition_a_flush_greys_an_evaluation(busy: StagingManager, instance: dg.DagsterInstance) -> None:
    """The rule of Dagster that this is about: if it is gone, so is the reason for the partition in an evaluation."""
    flush(busy, instance)
    instance.report_runless_asset_event(dg.AssetCheckEvaluation(FINE.key.asset_key, FINE.check, FINE.passed))
    flush(busy, instance)
    assert colour(instance, FINE.check) == "grey"


def test_a_flush_stores_no_evaluation(busy: StagingManager, instance: dg.DagsterInstance) -> None:
    assert flush(busy, instance).get_asset_check_evaluations() == []

"""Executed checks: they are answered at once, only the selected ones, and read the lake only if they need it."""

from __future__ import annotations

import dagster as dg
import pytest

from tests.defs.flushing import build, hourly
from timestore_pipeline import StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.defs import on_demand
from timestore_pipeline.defs.checks import AUDITED, WATCHED
from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.wiring import Timestore


def execute(instance: dg.DagsterInstance, *checks: tuple[str, str]) -> dict[tuple[str, str], bool]:
    """(dataset, check) -> passed."""
    keys = [dg.AssetCheckKey(asset_key(dataset), name) for dataset, name in checks]
    job = (
        defs()
        .resolve_implicit_global_asset_job_def()
        .get_subset(asset_selection=set(), asset_check_selection=set(keys))
    )
    result = job.execute_in_process(instance=instance)
    return {(e.asset_key.path[-1], e.check_name): e.passed for e in result.get_asset_check_evaluations()}


def test_every_dataset_has_every_check(staging: StagingManager) -> None:
    staging.enqueue("weather", hourly(1))
    staging.enqueue("flights", hourly(1))
    [definition] = on_demand.dataset_checks(["weather", "flights"])
    names = {*WATCHED, *AUDITED}
    assert {(key.asset_key.path[-1], key.name) for key in definition.check_keys} == {
        (dataset, name) for dataset in ("weather", "flights") for name in names
    }


def test_without_datasets_there_are_no_checks() -> None:
    assert on_demand.dataset_checks([]) == []


def test_very_many_datasets_are_cut_and_it_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(on_demand, "MOST_CHECKED", 1)
    [definition] = on_demand.dataset_checks(["flights", "weather"])
    assert {key.asset_key.path[-1] for key in definition.check_keys} == {"flights"}
    assert "checks are defined for the first 1 of 2 datasets" in caplog.text


def test_only_the_selected_checks_are_answered(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(3))
    staging.enqueue("flights", hourly(3))
    build(instance, "weather")
    answers = execute(instance, ("weather", "verified"), ("flights", "fresh"))
    assert answers == {("weather", "verified"): True, ("flights", "fresh"): True}


def test_a_stray_file_in_the_lake_is_found(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    build(instance, "weather")
    (timestore.settings.home / "lake" / "weather" / "stray.parquet").write_bytes(b"PAR1")
    answers = execute(instance, ("weather", "verified"), ("weather", "no_unmanaged_files"))
    assert answers == {("weather", "verified"): True, ("weather", "no_unmanaged_files"): False}


def test_a_lost_file_fails_the_audit(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    build(instance, "weather")
    for path in (timestore.settings.home / "lake" / "weather").rglob("*.parquet"):
        path.unlink()
    assert execute(instance, ("weather", "verified")) == {("weather", "verified"): False}

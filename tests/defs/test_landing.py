"""`landing_sensor` and `ingest_files`: what is launched, what a run reports, and how lineage runs."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from tests.defs.flushing import failure_of, hourly, logged
from timestore_pipeline import Settings
from timestore_pipeline.definitions import defs
from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.defs.landing_job import landing_sensor
from timestore_pipeline.defs.resource import PROCESS_TAG, TimestoreResource
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.landing_file import LandingFile
from timestore_pipeline.errors import LandingUnusable
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


@pytest.fixture
def landing(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = home / "landing"
    (folder / "weather").mkdir(parents=True)
    monkeypatch.setenv("TIMESTORE_LANDING_DIRECTORY", str(folder))
    monkeypatch.setenv("TIMESTORE_LANDING_SETTLE_MS", "0")
    return folder


def drop(landing: Path, name: str, rows: int, dataset: str = "weather") -> None:
    (landing / dataset).mkdir(exist_ok=True)
    pq.write_table(hourly(rows), landing / dataset / name)


def drop_bad(landing: Path) -> None:
    path = landing / "weather" / "bad.parquet"
    path.write_text("this is no table")
    os.utime(path, (0, 0))


def tick(instance: dg.DagsterInstance) -> Any:
    with dg.build_sensor_context(instance, resources={"timestore": TimestoreResource()}) as context:
        return landing_sensor(Settings.from_env()).evaluate_tick(context)


def ingest(instance: dg.DagsterInstance, *datasets: str) -> dg.ExecuteInProcessResult:
    config = {"ops": {"find_files": {"config": {"datasets": list(datasets)}}}}
    job = defs().resolve_job_def("ingest_files")
    return job.execute_in_process(config, instance=instance, raise_on_error=False)


def staged(timestore: Timestore) -> dict[str, int]:
    return {status.backlog.dataset: status.backlog.pending.rows for status in timestore.statuses()}


def test_without_a_folder_the_sensor_is_off_and_says_so(instance: dg.DagsterInstance) -> None:
    assert landing_sensor(Settings.from_env()).default_status is dg.DefaultSensorStatus.STOPPED
    assert tick(instance).skip_message == "TIMESTORE_LANDING_DIRECTORY is not set"


def test_with_a_folder_the_sensor_runs_without_being_switched_on(landing: Path) -> None:
    assert landing_sensor(Settings.from_env()).default_status is dg.DefaultSensorStatus.RUNNING


def test_a_disk_that_is_not_mounted_fails_the_tick(landing: Path, instance: dg.DagsterInstance) -> None:
    (landing / "weather").rmdir()
    landing.rmdir()
    with pytest.raises(LandingUnusable):
        tick(instance)


def test_nothing_dropped_launches_nothing(landing: Path, instance: dg.DagsterInstance) -> None:
    assert tick(instance).skip_message == "no file has been dropped"


def test_a_file_that_may_be_incomplete_waits(
    landing: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_LANDING_SETTLE_MS", "3600000")
    drop(landing, "a.parquet", 3)
    (landing / "lost.csv").write_text("a\n1\n")
    said = tick(instance).skip_message
    assert said.startswith("1 files wait, the next for 3")
    assert said.endswith("; ignored: lost.csv")


def test_all_files_that_are_ready_share_a_run(landing: Path, instance: dg.DagsterInstance) -> None:
    for name in ("a.parquet", "b.parquet"):
        drop(landing, name, 3)
    drop(landing, "c.parquet", 3, dataset="flights")
    [request] = tick(instance).run_requests
    assert request.run_config["ops"]["find_files"]["config"]["datasets"] == ["flights", "weather"]
    ours = {name: value for name, value in request.tags.items() if name.startswith("timestore/")}
    assert ours == {"timestore/shard": "shard-0", "timestore/landing": "shard-0"}


def test_every_launch_has_a_key_of_its_own(landing: Path, instance: dg.DagsterInstance) -> None:
    drop(landing, "a.parquet", 3)
    keys = [tick(instance).run_requests[0].run_key for _ in range(3)]
    assert len(set(keys)) == 3


def test_what_the_sensor_asks_for_is_what_the_job_accepts(
    landing: Path, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    drop(landing, "a.parquet", 3)
    [request] = tick(instance).run_requests
    job = defs().resolve_job_def("ingest_files")
    assert job.execute_in_process(request.run_config, instance=instance).success
    assert staged(timestore) == {"weather": 3}
    assert tick(instance).skip_message == "no file has been dropped"


def run_of(instance: dg.DagsterInstance, timestore: Timestore, process: str) -> str:
    """A run of `ingest_files` that started an hour ago, on a worker."""
    tags = {SHARD_TAG: "shard-0", PROCESS_TAG: process}
    run = instance.create_run_for_job(defs().resolve_job_def("ingest_files"), tags=tags)
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name=run.job_name)
    instance.run_storage.handle_run_event(run.run_id, event, clock.now() - timedelta(hours=1))
    return run.run_id


def test_as_long_as_a_run_is_at_work_there_is_no_second_one(
    landing: Path, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    drop(landing, "a.parquet", 3)
    run_id = run_of(instance, timestore, timestore.area.identity.process_id)
    assert tick(instance).skip_message == f"run {run_id[:8]} is in progress"


def test_a_run_whose_worker_is_gone_holds_nothing_up(
    landing: Path, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    drop(landing, "a.parquet", 3)
    run_of(instance, timestore, "unknown")
    assert len(tick(instance).run_requests) == 1


def test_a_run_reports_what_it_took_on_the_landing_asset(
    landing: Path, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    drop(landing, "a.parquet", 3)
    drop(landing, "b.parquet", 4)
    result = ingest(instance)
    [event] = result.get_asset_materialization_events()
    assert event.asset_key == dg.AssetKey(["landing", "weather"])
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert (metadata["files"], metadata["rows"], metadata["taken_before"], metadata["rejected"]) == (2, 7, 0, 0)


def test_a_bad_file_fails_the_run_after_the_others_are_in(
    landing: Path, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    drop_bad(landing)
    drop(landing, "good.parquet", 3)
    message = failure_of(ingest(instance), "stage_files")
    assert "1 of 2 files were set aside" in message
    assert "_rejected/" not in message
    assert "weather/bad." in message
    assert staged(timestore) == {"weather": 3}


def test_a_file_that_has_to_wait_is_no_failure(
    landing: Path, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_GUARDRAIL_MODE", "hard")
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_BYTES", "5")
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_DATASET_BYTES", "10")
    drop(landing, "a.parquet", 3)
    run = ingest(instance)
    assert run.success
    assert "weather/a.parquet: postponed" in logged(instance, run.run_id)
    assert "1 files wait" in tick(instance).skip_message


def test_a_folder_that_cannot_be_listed_holds_no_other_up(
    landing: Path, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(landing, "a.parquet", 3)
    drop(landing, "b.parquet", 3, dataset="barred")
    whole = LandingFolder.files

    def files(folder: LandingFolder, dataset: str) -> list[LandingFile]:  # root may list any folder
        if dataset == "barred":
            raise LandingUnusable("barred cannot be listed", hint="give the ingesting user access to it")
        return whole(folder, dataset)

    monkeypatch.setattr(LandingFolder, "files", files)
    [request] = tick(instance).run_requests
    assert request.run_config["ops"]["find_files"]["config"]["datasets"] == ["weather"]
    run = ingest(instance)
    assert run.success
    assert "barred is left out: barred cannot be listed" in logged(instance, run.run_id)
    assert tick(instance).skip_message == "no file has been dropped; ignored: barred cannot be listed"


def test_a_name_that_no_dataset_can_have_is_refused(landing: Path, instance: dg.DagsterInstance) -> None:
    assert "'../x' is not a dataset name; no file was taken" in failure_of(ingest(instance, "../x"), "find_files")


def test_lineage_runs_from_the_landing_folder_to_the_dataset(
    landing: Path, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    drop(landing, "a.parquet", 3)
    ingest(instance)
    with timestore.staging() as staging:
        staging.enqueue("flights", hourly(1))
    specs = {spec.key.path[0] + "/" + spec.key.path[1]: spec for spec in defs().resolve_all_asset_specs()}
    assert set(specs) == {"landing/weather", "timestore/flights", "timestore/weather"}
    assert [dep.asset_key for dep in specs["timestore/weather"].deps] == [dg.AssetKey(["landing", "weather"])]
    assert list(specs["timestore/flights"].deps) == []

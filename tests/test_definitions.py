"""What Dagster finds in the code location. Names and schemas here are contracts: operators and dashboards use them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from tests.defs.flushing import hourly
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.errors import InvalidSettings
from timestore_pipeline.wiring import Timestore

ROOT = Path(__file__).parents[1]
OWNERS = ["team:meteorology", "ops@example.com"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def job() -> dg.JobDefinition:
    return defs().resolve_job_def("partition_build")


def test_the_job_is_four_ops_in_a_row() -> None:
    upstream = {
        node.name: [output.node for output in inputs.values() if isinstance(output, dg.DependencyDefinition)]
        for node, inputs in job().graph.dependencies.items()
    }
    assert upstream == {
        "claim_backlogs": [],
        "export_partitions": ["claim_backlogs"],
        "publish_tables": ["export_partitions"],
        "finalize_flushes": ["publish_tables"],
    }


def test_jobs_and_sensors_have_their_names() -> None:
    repository = defs().get_repository_def()
    assert {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")} == {
        "partition_build",
        "drain_all",
        "ingest_files",
        "verify_lake",
        "recover_flushes",
        "lake_maintenance",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "staging_flush_sensor",
        "flush_recovery_sensor",
        "landing_sensor",
        "dataset_watch_sensor",
    }


def test_the_flush_sensor_runs_without_being_switched_on_and_looks_every_five_seconds() -> None:
    sensor = defs().get_repository_def().get_sensor_def("staging_flush_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 4


def test_the_launchpad_accepts_what_the_contract_shows() -> None:
    document = """
    ops: {claim_backlogs: {config: {flushes: [
        {dataset: weather, trigger: manual, overrides: {compression: zstd, row_group_size: 122880}}]}}}
    """
    assert dg.validate_run_config(job(), yaml.safe_load(document))


def test_the_launchpad_accepts_the_configuration_that_the_guide_shows() -> None:
    guide = (ROOT / "docs" / "dagster.md").read_text()
    [document] = [block for block in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL) if "defaults:" in block]
    assert dg.validate_run_config(job(), yaml.safe_load(document))


def test_ops_run_in_the_runs_own_process_and_are_not_retried() -> None:
    assert job().executor_def is dg.in_process_executor
    assert all(node.retry_policy is None for node in job().nodes)


def test_every_run_carries_its_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_SHARD", "north")
    assert job().tags == {"timestore/shard": "north"}


def test_loading_needs_no_staging_directory_and_makes_none(home: Path) -> None:
    assert defs().resolve_all_asset_specs() == []
    assert not home.exists()


def test_a_broken_configuration_names_every_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_ROWS", "many")
    monkeypatch.setenv("TIMESTORE_SHARD", "no spaces please")
    with pytest.raises(InvalidSettings, match=r"TIMESTORE_SHARD=.*TIMESTORE_STAGING_FLUSH_MAX_ROWS='many'"):
        defs()


def test_every_known_dataset_is_an_asset(home: Path) -> None:
    settings = Settings.from_env()
    with StagingManager.open(settings) as staging, Timestore(settings) as timestore:
        timestore.set_metadata("weather", {"description": "Hourly weather at New York's airports.", "owners": OWNERS})
        staging.enqueue("weather", hourly(1))
        staging.enqueue("flights", hourly(1))
    flights, weather = sorted(defs().resolve_all_asset_specs(), key=lambda spec: spec.key)
    assert flights.key == dg.AssetKey(["timestore", "flights"])
    said, flushed = (weather.description or "").split("\n\n")
    assert said == "Hourly weather at New York's airports."
    assert "flushes it at 1,000,000 rows or 134,217,728 bytes or 60 s of age" in flushed
    assert weather.owners == ["team:meteorology", "ops@example.com"]
    assert weather.kinds == {"parquet", "deltalake"}
    assert weather.metadata["table_uri"] == dg.MetadataValue.path(str(home / "lake" / "weather"))


def test_assets_that_stage_into_a_dataset_are_upstream_of_it(home: Path) -> None:
    settings = Settings.from_env()
    with StagingManager.open(settings) as staging, Timestore(settings) as timestore:
        timestore.set_metadata("weather", {"upstream": ["raw/readings", "sensors"]})
        staging.enqueue("weather", hourly(1))
    weather = defs().get_repository_def().asset_graph.get(dg.AssetKey(["timestore", "weather"]))
    assert weather.parent_keys == {dg.AssetKey(["raw", "readings"]), dg.AssetKey("sensors")}


def test_an_unreadable_ledger_is_the_sensors_to_report(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / "staging").mkdir(parents=True)
    (home / "staging" / "ledger.sqlite").write_text("this is no database, whatever its name says\n" * 50)
    assert defs().resolve_all_asset_specs() == []
    assert "the datasets are not shown as assets" in caplog.text


def test_the_workspace_names_this_code_location() -> None:
    [location] = _read("workspace.yaml")["load_from"]
    assert location["python_module"] == {
        "module_name": "timestore_pipeline.definitions",
        "location_name": "timestore_pipeline",
    }


def test_dagster_accepts_the_instance_settings() -> None:
    config, _ = dagster_instance_config(str(ROOT))
    assert config["telemetry"] == {"enabled": False}
    assert config["run_monitoring"]["start_timeout_seconds"] == 120
    assert "max_runtime_seconds" not in config["run_monitoring"]  # it would end runs of other code locations


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return document

"""Logs of old runs go; the runs and what they left on assets stay, in each kind of storage."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from sqlalchemy import create_engine, text

from tests.services import postgresql
from timestore_pipeline.defs.run_log_retention import forget_run_logs
from timestore_pipeline.system import clock

KEY = dg.AssetKey(["timestore", "weather"])
CHECK = dg.AssetCheckKey(KEY, "fresh")
LATER = clock.now() + timedelta(days=1)
FILES, TABLE, POSTGRESQL = "SQLite, a file for each run", "SQLite, one table", "PostgreSQL"


@dg.op
def publish(context: dg.OpExecutionContext) -> None:
    context.log_event(dg.AssetMaterialization(KEY, partition="2013-01-01"))
    context.log_event(dg.AssetObservation(KEY, metadata={"staged_rows": 1}))
    evaluation = dg.AssetCheckEvaluation(asset_key=KEY, check_name=CHECK.name, passed=True, partition="as of now")
    context.log_event(evaluation)  # type: ignore[arg-type]  # accepted


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql.serving() as url:
        yield url.replace("postgresql:", "postgresql+psycopg2:")


@pytest.fixture(params=[FILES, TABLE, pytest.param(POSTGRESQL, marks=pytest.mark.service)])
def storage(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def instance(storage: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    overrides: dict[str, Any] = {}
    if storage == TABLE:
        place = "dagster._core.storage.event_log", "ConsolidatedSqliteEventLogStorage"
        overrides["event_log_storage"] = _class(*place, base_dir=str(tmp_path))
        overrides["run_storage"] = _class("dagster._core.storage.runs", "SqliteRunStorage", base_dir=str(tmp_path))
        schedules = "dagster._core.storage.schedules", "SqliteScheduleStorage"
        overrides["schedule_storage"] = _class(*schedules, base_dir=str(tmp_path))
    elif storage == POSTGRESQL:
        address = _new_database(request.getfixturevalue("server"), tmp_path.name)
        overrides["storage"] = {"postgres": {"postgres_url": address}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as opened:
        yield opened


def _class(module: str, name: str, **config: str) -> dict[str, Any]:
    return {"module": module, "class": name, "config": config}


def _new_database(server: str, name: str) -> str:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return f"{server.rpartition('/')[0]}/{name}"


def run(instance: dg.DagsterInstance, shard: str = "shard-0") -> str:
    job = dg.GraphDefinition("flush", node_defs=[publish]).to_job(
        tags={"timestore/shard": shard}, executor_def=dg.in_process_executor
    )
    return job.execute_in_process(instance=instance).run_id


def logged(instance: dg.DagsterInstance, storage: str, folder: Path) -> set[str]:
    """Runs with a log; the events of assets are not a part of it."""
    if storage == FILES:  # not through Dagster, which would make the file of a run that has none
        return {path.stem for path in (folder / "history" / "runs").glob("*.db")} - {"index"}
    return {run_id for run_id in instance.get_run_ids() if types(instance, run_id) - ASSET_EVENTS - ASSET_CHECK_EVENTS}


def types(instance: dg.DagsterInstance, run_id: str) -> set[dg.DagsterEventType | None]:
    """None: a line of the log."""
    entries = instance.all_logs(run_id)
    return {entry.dagster_event_type if entry.is_dagster_event else None for entry in entries}


def captured(folder: Path) -> set[str]:
    return {path.name for path in (folder / "storage").iterdir()}


def test_old_logs_go_and_what_assets_show_stays(instance: dg.DagsterInstance, storage: str, tmp_path: Path) -> None:
    run_id = run(instance)
    assert logged(instance, storage, tmp_path) == captured(tmp_path) == {run_id}
    assert forget_run_logs(instance, "shard-0", LATER) == 1
    assert logged(instance, storage, tmp_path) == captured(tmp_path) == set()
    assert instance.get_run_by_id(run_id) is not None
    assert instance.get_materialized_partitions(KEY) == {"2013-01-01"}
    assert len(instance.fetch_observations(KEY, limit=5).records) == 1
    [check] = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK]).values()
    assert check is not None
    assert check.event is not None


def test_young_logs_and_other_shards_stay(instance: dg.DagsterInstance, storage: str, tmp_path: Path) -> None:
    kept = {run(instance), run(instance, "other")}
    assert forget_run_logs(instance, "shard-0", clock.now() - timedelta(days=1)) == 0
    assert forget_run_logs(instance, "shard-1", LATER) == 0
    assert logged(instance, storage, tmp_path) == captured(tmp_path) == kept


def test_what_runs_keeps_its_log(instance: dg.DagsterInstance, storage: str, tmp_path: Path) -> None:
    run_id = run(instance)
    started = instance.get_run_by_id(run_id)
    assert started is not None
    instance.report_run_failed(started)
    working = instance.create_run_for_job(
        dg.GraphDefinition("flush", node_defs=[publish]).to_job(),
        tags={"timestore/shard": "shard-0"},
        status=dg.DagsterRunStatus.STARTED,
    )
    instance.report_engine_event("working", working)
    assert forget_run_logs(instance, "shard-0", LATER) == 1
    assert logged(instance, storage, tmp_path) == {working.run_id}


def test_a_night_takes_its_share(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timestore_pipeline.defs.run_log_retention._AT_ONCE", 2)
    for shard in ("other", "shard-0", "other", "shard-0", "shard-0"):
        run(instance, shard)
    assert [forget_run_logs(instance, "shard-0", LATER, most=2) for _ in range(3)] == [2, 1, 0]

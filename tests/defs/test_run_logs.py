"""Logs of old runs go; the runs and the marks they left on assets stay."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from timestore_pipeline.defs.run_logs import forget_run_logs
from timestore_pipeline.system import clock

KEY = dg.AssetKey(["timestore", "weather"])
LATER = clock.now() + timedelta(days=1)


@dg.op
def publish(context: dg.OpExecutionContext) -> None:
    context.log_event(dg.AssetMaterialization(KEY, partition="2013-01-01"))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as opened:
        yield opened


def run(instance: dg.DagsterInstance, shard: str = "shard-0") -> str:
    job = dg.GraphDefinition("flush", node_defs=[publish]).to_job(
        tags={"timestore/shard": shard}, executor_def=dg.in_process_executor
    )
    return job.execute_in_process(instance=instance).run_id


def logs(folder: Path) -> set[str]:
    events = {path.stem for path in (folder / "history" / "runs").glob("*.db")} - {"index"}
    return events | {path.name for path in (folder / "storage").iterdir()}


def test_old_logs_go_and_runs_and_partitions_stay(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run_id = run(instance)
    assert logs(tmp_path) == {run_id}
    assert forget_run_logs(instance, "shard-0", LATER) == 1
    assert logs(tmp_path) == set()
    assert instance.get_run_by_id(run_id) is not None
    assert instance.get_materialized_partitions(KEY) == {"2013-01-01"}


def test_young_logs_and_other_shards_stay(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    kept = {run(instance), run(instance, "other")}
    assert forget_run_logs(instance, "shard-0", clock.now() - timedelta(days=1)) == 0
    assert forget_run_logs(instance, "shard-1", LATER) == 0
    assert logs(tmp_path) == kept


def test_what_runs_keeps_its_log(instance: dg.DagsterInstance, tmp_path: Path) -> None:
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
    assert {path.stem for path in (tmp_path / "history" / "runs").glob("*.db")} == {"index", working.run_id}


def test_a_night_takes_its_share(instance: dg.DagsterInstance) -> None:
    for _ in range(3):
        run(instance)
    assert [forget_run_logs(instance, "shard-0", LATER, most=2) for _ in range(3)] == [2, 1, 0]


def test_other_storages_are_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        run(ephemeral)
        assert forget_run_logs(ephemeral, "shard-0", LATER) == 0

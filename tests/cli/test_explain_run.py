"""`explain` names the run that has a due dataset, and the runs of other shards that this one waits for."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from tests.cli.running import staged, timestore, timestore_json
from tests.defs.ticking import run_in
from timestore_pipeline.system import clock


@pytest.fixture
def dagster_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    (home / "dagster").mkdir()
    (home / "dagster" / "dagster.yaml").write_text("concurrency: {runs: {max_concurrent_runs: 1}}\n")
    timestore("datasets", "set", "weather", "staging.flush.maxRows=1")
    staged(home)
    return home / "dagster"


def test_explain_names_the_run_of_another_shard_that_blocks(dagster_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        hung = run_in(instance, dg.DagsterRunStatus.STARTED, "rain", since=clock.now(), shard="dead")
        ours = run_in(instance, dg.DagsterRunStatus.QUEUED, "weather", since=clock.now())
    document = timestore_json("explain", "weather")
    assert document["run"]["run"]["run_id"] == ours
    assert [(run["run_id"], run["shard"]) for run in document["run"]["behind"]] == [(hung, "dead")]
    assert f"which waits for run {hung[:8]} (partition_build, shard dead, started, " in document["when"]
    assert document["when"].endswith("no flush sensor has run on this staging directory yet")


def test_explain_does_without_a_dagster_that_cannot_be_read(
    dagster_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (dagster_home / "dagster.yaml").write_text("concurrency: {runs: {max_concurrent_runs: many}}\n")
    document = timestore_json("explain", "weather")
    assert (document["run"], document["due"]) == (None, True)
    assert "Dagster's storage does not say which run has weather" in caplog.text

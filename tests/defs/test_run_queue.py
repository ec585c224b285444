"""Which runs a queued run waits for: the answer agrees with Dagster's own queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from tests.defs.ticking import run_in
from timestore_pipeline import StagingManager
from timestore_pipeline.defs.run_queue import run_of, waiting_runs
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

QUEUED, STARTED = dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED
PER_VALUE = {"key": "timestore/shard", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}


@pytest.fixture
def dagster_home(tmp_path: Path) -> Path:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("concurrency: {runs: {max_concurrent_runs: 2}}\n")
    return home


@pytest.fixture
def opened(dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        yield instance


@pytest.mark.parametrize(
    ("limits", "at_work", "behind"),
    [
        ({"max_concurrent_runs": 2}, ["dead"], []),
        ({"max_concurrent_runs": 2}, ["dead", "dead"], ["dead", "dead"]),
        ({"max_concurrent_runs": -1}, ["dead"] * 3, []),
        ({"tag_concurrency_limits": [PER_VALUE]}, ["dead"] * 3, []),
        ({"tag_concurrency_limits": [PER_VALUE]}, ["dead", "north"], ["north"]),
        ({"tag_concurrency_limits": [{"key": "timestore/shard", "limit": 2}]}, ["dead", "dead"], ["dead", "dead"]),
        ({"tag_concurrency_limits": [{"key": "timestore/shard", "limit": 2}]}, ["dead"], []),
        ({"tag_concurrency_limits": [{"key": "timestore/shard", "value": "north", "limit": 1}]}, ["dead"], []),
        ({"tag_concurrency_limits": [{"key": "timestore/shard", "value": "north", "limit": 1}]}, ["north"], ["north"]),
        ({"tag_concurrency_limits": [{"key": "other", "limit": 0}]}, ["dead"], []),
    ],
)
def test_a_run_waits_for_the_runs_that_hold_its_slots(
    tmp_path: Path, limits: dict[str, Any], at_work: list[str], behind: list[str]
) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"concurrency": {"runs": limits}}) as instance:
        for shard in at_work:
            run_in(instance, STARTED, "weather", since=clock.now(), shard=shard)
        run_in(instance, QUEUED, "weather", since=clock.now(), shard="north")
        [held] = waiting_runs(instance, "north", clock.now())
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        starts = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    assert [run.shard for run in held.behind] == behind
    assert bool(starts) is not bool(behind)


def test_a_due_dataset_is_in_the_run_that_waits_for_others(
    staging: StagingManager, timestore: Timestore, opened: dg.DagsterInstance, dagster_home: Path
) -> None:
    for _ in range(2):
        run_in(opened, STARTED, "weather", since=clock.now(), shard="dead")
    ours = run_in(opened, QUEUED, "weather", since=clock.now())
    held = run_of(dagster_home, timestore.area, "weather", clock.now())
    assert held is not None
    assert (held.run.run_id, held.run.shard) == (ours, "shard-0")
    assert held.sentence.startswith(f"by run {ours[:8]} (partition_build, shard shard-0, queued, ")
    assert held.sentence.count("shard dead, started") == 2
    assert len(held.to_dict()["behind"]) == 2


def test_a_run_that_waits_for_nothing_is_started_next(
    timestore: Timestore, opened: dg.DagsterInstance, dagster_home: Path
) -> None:
    run_in(opened, QUEUED, "weather", since=clock.now())
    held = run_of(dagster_home, timestore.area, "weather", clock.now())
    assert held is not None
    assert held.sentence.endswith(", which the daemon starts next")


def test_a_run_at_work_waits_for_nothing(timestore: Timestore, opened: dg.DagsterInstance, dagster_home: Path) -> None:
    ours = run_in(opened, STARTED, "weather", since=clock.now())
    held = run_of(dagster_home, timestore.area, "weather", clock.now())
    assert held is not None
    assert (held.run.run_id, held.behind) == (ours, ())


def test_a_dataset_without_a_run_and_a_home_without_dagster_have_none(
    timestore: Timestore, opened: dg.DagsterInstance, dagster_home: Path, tmp_path: Path
) -> None:
    run_in(opened, QUEUED, "other", since=clock.now())
    assert run_of(dagster_home, timestore.area, "weather", clock.now()) is None
    assert run_of(tmp_path / "unused", timestore.area, "weather", clock.now()) is None
    assert not (tmp_path / "unused").exists()

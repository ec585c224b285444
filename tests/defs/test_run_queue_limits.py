"""The limits of our `dagster.yaml`, as Dagster's own run queue applies them to the runs of several shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from demo.environment import REPOSITORY
from tests.defs.ticking import run_in
from timestore_pipeline.defs.landing_job import LANDING_TAG
from timestore_pipeline.system import clock

QUEUED, STARTED = dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with the limits that we ship."""
    shipped = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    overrides = {name: shipped[name] for name in ("run_queue", "concurrency")}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        yield instance


def next_runs(instance: dg.DagsterInstance) -> list[str]:
    """Ids of the queued runs that the daemon would start now."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1, page_size=5)
    chosen = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    return [run.run_id for run in chosen]


def run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, shard: str, **tags: str) -> str:
    run_id = run_in(instance, status, "weather", since=clock.now(), shard=shard)
    instance.add_run_tags(run_id, {f"timestore/{name}": value for name, value in tags.items()})
    return run_id


def test_the_hung_runs_of_a_dead_shard_hold_no_slot_of_another(limited: dg.DagsterInstance) -> None:
    for _ in range(2):
        run(limited, STARTED, "dead")
    waiting = run(limited, QUEUED, "dead")
    ours = [run(limited, QUEUED, "alive") for _ in range(3)]
    assert next_runs(limited) == ours[:2]
    assert waiting not in next_runs(limited)


def test_a_long_queue_of_one_shard_does_not_delay_another(limited: dg.DagsterInstance) -> None:
    for _ in range(12):
        run(limited, QUEUED, "busy")
    ours = run(limited, QUEUED, "alive")
    assert ours in next_runs(limited)


def test_a_dataset_of_one_shard_does_not_wait_for_the_same_dataset_of_another(limited: dg.DagsterInstance) -> None:
    run(limited, STARTED, "dead", datasets="dead/weather")
    ours = run(limited, QUEUED, "alive", datasets="alive/weather")
    assert next_runs(limited) == [ours]
    run(limited, STARTED, "alive", datasets="alive/weather")
    assert next_runs(limited) == []


def test_ingesting_takes_one_slot_of_each_shard(limited: dg.DagsterInstance) -> None:
    ours = [run(limited, QUEUED, shard, landing=shard) for shard in ("north", "south", "north")]
    assert next_runs(limited) == ours[:2]


def test_every_run_of_the_landing_job_has_the_tag_that_is_limited() -> None:
    from timestore_pipeline.definitions import defs

    tags: dict[str, Any] = dict(defs().resolve_job_def("ingest_files").tags)
    assert tags[LANDING_TAG] == tags["timestore/shard"]

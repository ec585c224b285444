"""A shard keeps its age limit beside one whose host is dead and one whose store answers nothing."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from demo.processes import Children
from tests.defs.flushing import hourly
from tests.live.shards import Shard, SharedDagster, silent_store, until
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.system import clock

AGE = 5.0  # seconds, the limit of every shard
PROMISED = 60.0  # seconds until the rows are published on a busy machine; the blockers stay for an hour

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]


def test_a_shard_keeps_its_age_limit_beside_a_dead_and_a_silent_one(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TIMESTORE_", "DAGSTER_"))}
    home = tmp_path / "dagster"
    environment = {
        **own,
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "TIMESTORE_STAGING_FLUSH_MAX_AGE_MS": str(round(AGE * 1_000)),
    }
    lake = {"TIMESTORE_LAKE_URI": str(tmp_path / "lake")}
    with (
        silent_store() as nowhere,
        ExitStack() as opened,
        Children(tmp_path / "logs", environment) as children,
    ):
        dead = Shard("dead", tmp_path, children, lake, opened)
        silent = Shard("silent", tmp_path, children, nowhere, opened)
        alive = Shard("alive", tmp_path, children, lake, opened)
        shards = [dead, silent, alive]
        shared = SharedDagster(home, children, shards)
        opened.callback(shared.instance.dispose)
        for shard in shards:
            shard.start()
        dead.hold("export_partitions")
        shared.start()
        for runs, dataset in enumerate(("weather", "flights"), start=1):  # each has a run of its own
            dead.stage(dataset, hourly(3))
            silent.stage(dataset, hourly(3))
            until(partial(_hang, shared, dead, dataset, runs), f"runs of {dataset} that hang")
        dead.kill()
        for number in range(3):
            assert shared.at_work("dead") == 2
            began = clock.monotonic()
            alive.stage("weather", hourly(1, first=number))
            until(partial(_published, alive, number + 1), "the flush of the shard that is alive")
            assert clock.monotonic() - began < AGE + PROMISED
        assert shared.at_work("silent") == 2
        assert not _published(silent, 1)


def _hang(shared: SharedDagster, dead: Shard, dataset: str, runs: int) -> bool:
    """The dead shard's run stops behind its claim; the silent one's waits for the store."""
    return dead.claimed(dataset) and shared.at_work("silent") == runs


def _published(shard: Shard, flushes: int) -> bool:
    published = [flush for flush in shard.flushes("weather") if flush.state is FlushState.PUBLISHED]
    return len(published) >= flushes

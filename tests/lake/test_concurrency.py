"""Races between real processes on one local lake."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from deltalake import DeltaTable

from tests.lake.exporting import (
    APP,
    create_when_all_are_ready,
    publish_when_all_are_ready,
    settle_when_all_are_ready,
)
from tests.lake.processes import run_together
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.lake import EpochOutcome


@pytest.fixture
def uri(lake: Lake) -> str:
    return lake.uri


def test_creators_that_race_all_end_well(lake: Lake, uri: str) -> None:
    run_together([(create_when_all_are_ready, (uri, columns)) for columns in (["a"], ["b", "a"], ["c"])])
    assert sorted(lake.table("weather").schema().names) == ["a", "b", "c"]


@pytest.mark.parametrize("attempt", range(5))
def test_no_creator_overwrites_the_schema_of_another(lake: Lake, uri: str, attempt: int) -> None:
    names = ["a", "b", "c", "d"]
    barrier = threading.Barrier(len(names))
    with ThreadPoolExecutor(len(names)) as pool:
        created = [pool.submit(create_when_all_are_ready, barrier, uri, [name]) for name in names]
    assert [future.exception() for future in created] == [None] * len(names)
    assert sorted(lake.table("weather").schema().names) == names
    operations = [commit["operation"] for commit in DeltaTable(lake.table("weather").uri).history()]
    assert operations == ["ADD COLUMN"] * (len(names) - 1) + ["CREATE TABLE"]


def test_shards_append_side_by_side_and_everything_lands(lake: Lake, uri: str) -> None:
    shards, epochs = 3, 8
    run_together([(publish_when_all_are_ready, (uri, {}, f"shard-{i}", epochs)) for i in range(shards)])
    table = lake.table("weather")
    assert table.to_arrow_dataset().count_rows() == shards * epochs * 3
    assert all(
        table.outcome(f"timestore/shard-{shard}/weather", epoch) is EpochOutcome.PUBLISHED
        for shard in range(shards)
        for epoch in range(1, epochs + 1)
    )


def test_of_a_publish_and_a_burn_that_race_exactly_one_wins(lake: Lake, uri: str) -> None:
    epochs = 12
    run_together(
        [
            (settle_when_all_are_ready, (uri, {}, epochs, False)),
            (settle_when_all_are_ready, (uri, {}, epochs, True)),
            (settle_when_all_are_ready, (uri, {}, epochs, False)),
        ]
    )
    table = lake.table("weather")
    outcomes = [table.outcome(APP, epoch) for epoch in range(1, epochs + 1)]
    published = outcomes.count(EpochOutcome.PUBLISHED)
    assert published + outcomes.count(EpochOutcome.BURNT) == epochs
    assert table.to_arrow_dataset().count_rows() == 3 * published
    assert len(list(table.commits())) == epochs

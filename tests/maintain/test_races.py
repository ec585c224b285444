"""Producers, flushes, two shards' maintenance and an audit, all at once: every row once, and a clean audit."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from tests.maintain.small_files import AT_ONCE, books, content, maintained, publish
from timestore_pipeline.maintain.dataset_maintenance import maintain
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

_FLUSHES = 12


def settings_of(home: Path, shard: str) -> Settings:
    return Settings.build(home=home, staging_directory=home / shard, shard=shard)


def publish_in_a_loop(home: Path, shard: str, first: int) -> None:
    """Child process."""
    with Timestore(settings_of(home, shard)) as store:
        for number in range(first, first + _FLUSHES):
            publish(store, number)


def maintain_in_a_loop(home: Path, shard: str, rounds: int) -> None:
    """Child process; whatever it could not do but give way is a fault."""
    with Timestore(settings_of(home, shard)) as store:
        for _ in range(rounds):
            options = store.maintain_options(min_files=2)
            for done in maintain(store.area, store.lake, ["weather"], options):
                assert not [error for error in done.errors if error.code != "maintenance_in_progress"], done.errors


def test_nothing_is_lost_or_doubled_when_all_work_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    for number, shard in enumerate(("one", "two")):
        with Timestore(settings_of(tmp_path, shard)) as store:
            publish(store, 1000 + number)
    work = [(publish_in_a_loop, 0), (publish_in_a_loop, 100), (maintain_in_a_loop, 10), (maintain_in_a_loop, 10)]
    processes = [
        context.Process(target=target, args=(tmp_path, ("one", "two")[n % 2], more))
        for n, (target, more) in enumerate(work)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    for shard in ("one", "two"):
        with Timestore(settings_of(tmp_path, shard)) as store:
            maintained(store, min_files=2, retention=AT_ONCE)
            numbers = sorted(row["n"] for row in content(store))
            expected = [*range(1000, 1002), *range(_FLUSHES), *range(100, 100 + _FLUSHES)]
            assert numbers == sorted(n for number in expected for n in range(number * 10, number * 10 + 10))
            assert books(store) == ([], [])

"""What has happened when an operator opens the runbook at a heading: each scene prepares a home for it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from tests.cli.running import readings, staged, timestore, write_file
from tests.flush.dying import flush_dying
from tests.services.forked import run_forked
from tests.staging.rolled import roll_up_in
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

Scene = Callable[[Path], None]


def some_rows_wait(home: Path) -> None:
    staged(home)
    write_file(home / "canary.csv", readings(10))


def a_flush_failed(home: Path) -> None:
    """The lake cannot be written; then somebody mends it."""
    some_rows_wait(home)
    (home / "lake").write_text("not a directory")
    timestore("flush", "weather", "--now", code=1)
    (home / "lake").unlink()


def somebody_elses_table_was_in_the_way(home: Path) -> None:
    """Moved out of it since."""
    some_rows_wait(home)
    write_deltalake(str(home / "lake" / "weather"), pa.table({"n": ["not ours"]}))
    timestore("flush", "weather", "--now", code=1)
    (home / "lake" / "weather").rename(home / "theirs")


def the_sensor_ticked(home: Path) -> None:
    some_rows_wait(home)
    with Timestore(Settings.from_env()) as store:
        store.area.ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(clock.now())))


def a_worker_died(home: Path) -> None:
    some_rows_wait(home)
    assert run_forked(flush_dying, home, "record export", "after", "weather") == -signal.SIGKILL


def a_segment_is_damaged(home: Path) -> None:
    """One flush has set it aside."""
    staged(home)
    roll_up_in(Settings.build(home=home))
    (segment,) = (home / "staging" / "segments" / "weather").glob("*.duckdb")
    shutil.copy(segment, home / "backup.duckdb")
    os.truncate(segment, segment.stat().st_size // 2)
    timestore("flush", "weather", "--now", code=1)


def a_segment_was_restored(home: Path) -> None:
    a_segment_is_damaged(home)
    (segment,) = (home / "staging" / "quarantine" / "weather").glob("*.duckdb")
    shutil.copy(home / "backup.duckdb", segment)


def the_ledger_is_damaged(home: Path) -> None:
    some_rows_wait(home)
    for log in (home / "staging").glob("ledger.sqlite-*"):
        log.unlink()
    (home / "staging" / "ledger.sqlite").write_bytes(b"no database" * 1000)


def the_directory_was_emptied(home: Path) -> None:
    some_rows_wait(home)
    timestore("flush", "weather", "--now")
    shutil.rmtree(home / "staging")
    write_file(home / "more.parquet", readings(10, first=40))
    timestore("ingest", "weather", home / "more.parquet")


# Heading -> one scene for each of its blocks, or one for all of them. Every other heading starts with rows that wait.
SCENES: dict[str, tuple[Scene, ...]] = {
    "Flush aborts": (a_flush_failed,),
    "Timestore flush blocked": (somebody_elses_table_was_in_the_way,),
    "Timestore push stale": (the_sensor_ticked,),
    "A run, a worker or a host died": (a_worker_died,),
    "Quarantine": (a_segment_is_damaged, a_segment_was_restored, a_segment_is_damaged),
    "A lost or damaged ledger": (the_ledger_is_damaged,),
    "Two staging directories of one name": (the_directory_was_emptied,),
}


def scene(heading: str, block: int) -> Scene:
    """How the world looks before that block."""
    scenes = SCENES.get(heading, (some_rows_wait,))
    return scenes[block % len(scenes)]

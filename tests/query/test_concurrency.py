"""Producers, flushes and maintenances of two shards are killed, and every query in between counts each row once."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.services.forked import Script, script
from timestore_pipeline import Settings
from timestore_pipeline.wiring import Timestore

ROWS = 20  # of each batch
QUERIES = 16
_KILL_AFTER = 2  # queries
SHARDS = ("shard-0", "shard-0", "elsewhere")  # of the processes that maintain
RETENTION = 7  # days

_PRODUCER = """
import sys
from pathlib import Path
from tests.flush.conftest import hourly
from timestore_pipeline import Settings, StagingManager
home, first, intents, acks, rows = Path(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:5]), int(sys.argv[5])
with StagingManager.open(Settings.build(home=home)) as staging, intents.open("a") as sent, acks.open("a") as acked:
    for number in range(first, first + 1_000_000):
        print(number, file=sent, flush=True)
        keys = [[number * rows + row for row in range(rows)]]
        staging.enqueue("d", hourly(rows, number % 50).append_column("key", keys))
        print(number, file=acked, flush=True)
        if number == first:
            print("staged", flush=True)
"""

_FLUSHING = """
import sys
from timestore_pipeline import Settings
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore
with Timestore(Settings.build(home=sys.argv[1])) as store:
    while True:
        try:
            store.flush("d", Trigger.MANUAL, "test")
        except TimestoreError as error:
            assert error.code in ("flush_in_flight", "fenced"), error
        print("flushed", flush=True)
"""

_MAINTAINING = """
import sys
from pathlib import Path
from datetime import timedelta
from timestore_pipeline import Settings
from timestore_pipeline.maintain.dataset_maintenance import maintain
from timestore_pipeline.wiring import Timestore
home, shard, days = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
place = {} if shard == "shard-0" else {"staging_directory": home / shard, "shard": shard}
with Timestore(Settings.build(home=home, maintain_min_files=2, maintain_retention_days=days, **place)) as store:
    while True:
        [done] = maintain(store.area, store.lake, ["d"], store.maintain_options())
        assert {error.code for error in done.errors} <= {"maintenance_in_progress"}, done.errors
        print("maintained", flush=True)
"""


class World:
    """Two producers, one that flushes and three that maintain; each may be killed, and another takes its place."""

    def __init__(self, settings: Settings, folder: Path, processes: ExitStack) -> None:
        self._settings, self._folder, self._processes = settings, folder, processes
        self._started = 0
        self._start = [self._producer, self._producer, self._flushing, *map(self._maintaining, SHARDS)]
        self._living = [start() for start in self._start]

    def replace_one(self, chosen: random.Random) -> None:
        which = chosen.randrange(len(self._living))
        self._kill(which)
        self._living[which] = self._start[which]()

    def end(self) -> None:
        for which in range(len(self._living)):
            self._kill(which)

    def rows(self, what: str) -> int:
        """Of all batches that were `sent` or `acked` until now."""
        return sum(path.read_text().count("\n") for path in self._folder.glob(f"*.{what}")) * ROWS

    def _kill(self, which: int) -> None:
        """It must not have ended by itself: a query makes neither an enqueue nor a flush fail."""
        self._living[which].kill()
        assert self._living[which].wait() == -signal.SIGKILL

    def _producer(self) -> Script:
        self._started += 1
        books = (self._folder / f"{self._started}.{what}" for what in ("sent", "acked"))
        first = self._started * 1_000_000
        started = self._processes.enter_context(script(_PRODUCER, self._settings.home, first, *books, ROWS))
        started.wait_for_line("staged")
        return started

    def _flushing(self) -> Script:
        started = self._processes.enter_context(script(_FLUSHING, self._settings.home))
        started.wait_for_line("flushed")
        return started

    def _maintaining(self, shard: str) -> Callable[[], Script]:
        def start() -> Script:
            started = self._processes.enter_context(script(_MAINTAINING, self._settings.home, shard, RETENTION))
            started.wait_for_line("maintained")
            return started

        return start


@pytest.fixture
def world(settings: Settings, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as processes:
        yield World(settings, tmp_path, processes)


def test_every_row_is_counted_once_whatever_dies(world: World, timestore: Timestore) -> None:
    chosen = random.Random(1)
    for number in range(QUERIES):
        acked = world.rows("acked")
        with timestore.query("SELECT count(*) AS n, count(DISTINCT key) AS d FROM d") as answer:
            assert answer.notes == []
            [found] = answer.rows.read_all().to_pylist()
        assert acked <= found["n"] == found["d"] <= world.rows("sent")
        if number % _KILL_AFTER == 0:
            world.replace_one(chosen)
    world.end()
    assert timestore.area.ledger.flushes.history()
    outcomes = {metadata.get("outcome") for _, metadata in timestore.lake.table("d").commits()}
    assert {"published", "compacted"} <= outcomes

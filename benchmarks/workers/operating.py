"""The operations on a staging directory: flush, backlog, recovery, verification, commands."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from benchmarks.workers.answering import answer
from benchmarks.workers.memory import peak_mb
from benchmarks.workers.rows import rows, shuffled
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.system.without_pandas import leave_pandas_out
from timestore_pipeline.wiring import Timestore

_BATCH = 50_000  # rows
_PATIENCE = timedelta(minutes=5)  # for room in the queue
_LARGE = "large"  # a dataset


class Operator:
    def __init__(self, home: Path) -> None:
        self._settings = Settings.build(home=home, staging_max_dataset_bytes=0)

    def stage(self, count: int, days: int) -> None:
        """`count` rows for one flush."""
        data = shuffled(count, days)
        with StagingManager.open(self._settings) as staging:
            for first in range(0, count, _BATCH):
                staging.enqueue(_LARGE, data.slice(first, _BATCH))

    def stage_many(self, datasets: int) -> None:
        """One batch for each."""
        batch = rows(10)
        with StagingManager.open(self._settings) as staging:
            names = [f"dataset-{number:05}" for number in range(datasets)]
            for receipt in [staging.submit(name, batch, max_wait=_PATIENCE) for name in names]:
                receipt.result()

    def stage_bytes(self, amount: int) -> None:
        """So many bytes of Arrow data; the manager stays open, for the benchmark to kill this process."""
        batch = rows(_BATCH)
        self._open = StagingManager.open(self._settings)
        for _ in range(1 + amount // batch.nbytes):
            self._open.enqueue(_LARGE, batch)

    def flush(self) -> dict[str, float]:
        """Seconds from claim to finalize, and the memory of a process that does nothing else."""
        with Timestore(self._settings) as store:
            assert store.pipeline is not None  # its libraries are imported before the clock starts
            began = time.perf_counter()
            store.flush(_LARGE, Trigger.MANUAL, "benchmark")
            seconds = time.perf_counter() - began
            assert store.status(_LARGE).backlog.pending.batches == 0  # all of it was one flush
            return {"seconds": seconds, "peak": peak_mb()}

    def flush_all(self) -> None:
        with Timestore(self._settings) as store:
            for status in store.waiting():
                store.flush(status.backlog.dataset, Trigger.MANUAL, "benchmark")

    def backlog(self) -> float:
        """Seconds of the query that the sensor makes at each tick."""
        with Timestore(self._settings) as store:
            began = time.perf_counter()
            assert store.area.waiting()
            return time.perf_counter() - began

    def recover(self) -> float:
        with Timestore(self._settings) as store:
            lake = store.lake
            began = time.perf_counter()
            found = recover(store.area, lake)
            assert not found.errors
            return time.perf_counter() - began

    def verify(self) -> float:
        with Timestore(self._settings) as store:
            lake = store.lake
            began = time.perf_counter()
            assert verify(store.area, lake).ok
            return time.perf_counter() - began

    def command(self, arguments: list[str]) -> float:
        """Seconds of CPU that a `timestore` command takes, its start included."""
        environment = os.environ | {"TIMESTORE_HOME": str(self._settings.home)}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "timestore_pipeline", *arguments]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main(home: Path) -> None:
    leave_pandas_out()  # as the commands do whose work this is
    at_work = Operator(home)
    names = [name for name in vars(Operator) if not name.startswith("_")]
    answer({name: getattr(at_work, name) for name in names})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

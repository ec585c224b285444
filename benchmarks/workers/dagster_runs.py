"""Many datasets that become due at one tick: how long until all are published, against one run per dataset.

Real daemon, code server, run queue and run workers; this process only watches. Both ways are measured in one
execution: all datasets in shared runs, then a few in runs of their own, whose steady pace is extrapolated.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dagster import DagsterInstance, RunRecord, RunsFilter
from dagster._core.scheduler.instigation import InstigatorTick

from benchmarks.workers.rows import rows
from demo.dagster_processes import DagsterProcesses
from demo.environment import Home, Limits, adopt, inherited
from demo.processes import Children
from demo.waiting import wait_until
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.defs.job import JOB_NAME
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.system import clock

_ROWS = 1_000  # of each dataset
_DUE_AFTER = 1.0  # seconds; everything is older than that when the first tick comes
_AT_A_TIME = 2  # runs, as dagster.yaml has it: the first wave, which the pace leaves out
_PATIENCE = 600.0  # seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """How a number of datasets were published; all from what Dagster and the ledger wrote down."""

    tick_seconds: float  # the longest that launched anything
    seconds: float  # from the start of the first tick that launched anything to the last publication
    runs: int
    at_a_time: int  # at work; Dagster counts those that are being started, too, and starts no more than it has slots
    ends: Sequence[float]  # of the runs, in order, seconds since the Unix epoch

    @property
    def pace(self) -> float:
        """Seconds a run, without the start and the first wave."""
        rest = self.ends[_AT_A_TIME:]
        return (rest[-1] - self.ends[_AT_A_TIME - 1]) / len(rest)


def stage(datasets: Sequence[str]) -> None:
    table = rows(_ROWS)
    with StagingManager.open(Settings.from_env()) as staging:
        for dataset in datasets:
            staging.enqueue(dataset, table)


@contextmanager
def dagster(home: Home, variables: Mapping[str, str]) -> Iterator[None]:
    """A daemon and a code server, which launches the runs."""
    with Children(home.logs, inherited() | dict(variables)) as children:
        DagsterProcesses(children, home, ui_port=0).start_ticking()
        yield


def published(home: Home, datasets: Sequence[str], variables: Mapping[str, str]) -> Measured:
    """Let Dagster publish everything that is staged."""
    settings = Settings.from_env()
    began = clock.now()
    with StagingArea(settings.staging_directory, settings.shard) as area, dagster(home, variables):
        wait_until(lambda: not area.ledger.backlogs.waiting(), "all datasets", _PATIENCE, pause_seconds=1.0)
        newest = [area.ledger.flushes.history(dataset, most=1)[0] for dataset in datasets]
        finished = max(flush.finished_at.timestamp() for flush in newest if flush.finished_at)
        with DagsterInstance.get() as instance:
            wait_until(lambda: all(record.end_time for record in _runs(instance, began)), "the runs", _PATIENCE)
            return _measured(_runs(instance, began), _launching_ticks(instance, began), finished)


def _measured(runs: Sequence[RunRecord], ticks: Sequence[InstigatorTick], finished: float) -> Measured:
    spans = [(record.start_time or 0.0, record.end_time or 0.0) for record in runs]
    at_a_time = max(sum(start <= begin < end for start, end in spans) for begin, _ in spans)
    tick_seconds = max((tick.end_timestamp or finished) - tick.timestamp for tick in ticks)
    first = min(tick.timestamp for tick in ticks)
    return Measured(tick_seconds, finished - first, len(runs), at_a_time, sorted(end for _, end in spans))


def _runs(instance: DagsterInstance, began: datetime) -> Sequence[RunRecord]:
    return instance.get_run_records(RunsFilter(job_name=JOB_NAME, created_after=began))


def _launching_ticks(instance: DagsterInstance, began: datetime) -> list[InstigatorTick]:
    sensors = [state for state in instance.all_instigator_state() if state.instigator_name == "staging_flush_sensor"]
    ticks = [tick for s in sensors for tick in instance.get_ticks(s.instigator_origin_id, s.selector_id)]
    return [tick for tick in ticks if tick.run_ids and tick.timestamp > began.timestamp()]


def main(folder: Path, count: int, alone_count: int) -> None:
    """Prints, as JSON, the measures of both ways; the seconds of runs of their own are for all datasets."""
    home = Home(folder)
    with home.fresh():
        adopt(home.variables(Limits(rows=0, age_seconds=_DUE_AFTER)))
        datasets = [f"dataset-{number:04}" for number in range(count)]
        stage(datasets)
        shared = published(home, datasets, {})
        few = datasets[: max(alone_count, _AT_A_TIME + 1)]
        stage(few)
        alone = published(home, few, {"TIMESTORE_RUN_MAX_DATASETS": "1"})
    measures = {"seconds": shared.seconds, "tick": shared.tick_seconds, "runs": shared.at_a_time}
    print(json.dumps({"shared": measures, "alone": {"seconds": alone.pace * count}}))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or the daemon would outlive it
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

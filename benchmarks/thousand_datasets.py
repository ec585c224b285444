"""A thousand datasets that become due at one tick: how long until all are published, against one run per dataset.

Real daemon, code server, run queue and run workers on this machine, one benchmark process beside them that looks. Both
ways are measured in one execution: all datasets in shared runs, then a sample of datasets in runs of their own, whose
steady pace is extrapolated. Run it with `make bench`; it exits 1 when a bound is missed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from dagster import DagsterInstance, RunRecord, RunsFilter
from dagster._core.scheduler.instigation import InstigatorTick

from demo.dagster_processes import DagsterProcesses
from demo.environment import Home, Limits, adopt, inherited
from demo.processes import Children
from demo.waiting import wait_until
from timestore_pipeline import Settings, StagingManager, clock
from timestore_pipeline.defs.job import JOB_NAME
from timestore_pipeline.staging.area import StagingArea

DATASETS = 1_000
ROWS = 1_000  # of each
SAMPLE = 10  # runs of one dataset each
DUE_AFTER = 1.0  # seconds; everything is older than that when the first tick comes

MOST_SECONDS = 90.0  # from the tick until everything is published
MOST_RUNS_AT_A_TIME = 2
MOST_TICK_SECONDS = 5.0
LEAST_SPEED_UP = 20.0  # over one run per dataset

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
        rest = self.ends[MOST_RUNS_AT_A_TIME:]
        return (rest[-1] - self.ends[MOST_RUNS_AT_A_TIME - 1]) / len(rest)


def rows(count: int) -> pa.Table:
    """Two columns, one row a second."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    instants = [start + timedelta(seconds=second) for second in range(count)]
    return pa.table({"ts": pa.array(instants, pa.timestamp("us", "UTC")), "value": [n / 3 for n in range(count)]})


def stage(datasets: Sequence[str]) -> None:
    table = rows(ROWS)
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
    """Let Dagster publish what is staged."""
    settings = Settings.from_env()
    began = clock.now()
    with StagingArea(settings.staging_directory, settings.shard) as area, dagster(home, variables):
        wait_until(lambda: not area.ledger.batches.waiting(), "all datasets", _PATIENCE, pause_seconds=1.0)
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


def verdict(shared: Measured, alone: Measured) -> bool:
    """Print what was measured; whether every bound is kept."""
    extrapolated = alone.pace * DATASETS
    speed_up = extrapolated / shared.seconds
    print(f"{DATASETS} datasets of {ROWS} rows, due at one tick: published {shared.seconds:.1f} s after the tick began")
    print(f"  {shared.runs} runs, {shared.at_a_time} at a time; the longest tick took {shared.tick_seconds:.2f} s")
    print(f"one run per dataset: {alone.pace:.2f} s a run over {alone.runs} runs, {alone.at_a_time} at a time;")
    print(f"  extrapolated to {DATASETS} datasets {extrapolated:.0f} s, so shared runs are {speed_up:.1f} times faster")
    in_time = shared.seconds < MOST_SECONDS and shared.tick_seconds < MOST_TICK_SECONDS
    return in_time and shared.at_a_time <= MOST_RUNS_AT_A_TIME and speed_up >= LEAST_SPEED_UP


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="timestore-bench-", dir=Path.cwd()))
    try:
        home = Home(folder)
        with home.fresh():
            adopt(home.variables(Limits(rows=0, age_seconds=DUE_AFTER)))
            datasets = [f"dataset-{number:04}" for number in range(DATASETS)]
            stage(datasets)
            shared = published(home, datasets, {})
            stage(datasets[:SAMPLE])
            alone = published(home, datasets[:SAMPLE], {"TIMESTORE_RUN_MAX_DATASETS": "1"})
        return 0 if verdict(shared, alone) else 1
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())

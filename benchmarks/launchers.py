"""Dagster's default run launcher beside ours: from launch to success of a small flush, the CPU of its process, leaks.

Run it from the repository with `python -m benchmarks.launchers [runs] [default|warm]`; without a name, both. What is
left over when all runs have ended: their processes, and what the processes that start runs hold beyond what they held
after the first runs, as descriptors and as megabytes of memory that they share with no other process.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.workers.rows import rows
from demo.launching import Launching, launching
from demo.waiting import wait_until
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.system import clock

DATASET = "small"
LAUNCHERS = {
    "default": "",
    "warm": "run_launcher: {module: timestore_pipeline.defs.warm_runs.launcher, class: WarmRunLauncher}\n",
}
_COLUMNS = ("launcher", "runs", "median s", "p90 s", "CPU s a run", "processes left", "descriptors left", "MB left")
_ROWS = 1_000  # of each flush
_CONFIG = {"ops": {"claim_backlogs": {"config": {"flushes": [{"dataset": DATASET, "trigger": "manual"}]}}}}
_PATIENCE = 300.0  # seconds for one run
_LOOK_EVERY = 0.01  # seconds
_REST = 3.0  # seconds
_WARM_UP = 3  # runs: the first starts the warm parent, and memory settles in the next
_MB = 1e6


def main(count: int, launchers: Sequence[str]) -> None:
    """A table on standard output."""
    logging.disable(logging.INFO)
    print("  ".join(_COLUMNS))
    for name in launchers:
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {"TIMESTORE_HOME": f"{folder}/home", "DAGSTER_DISABLE_TELEMETRY": "1"}
            Path(folder, "dagster.yaml").write_text(f"{LAUNCHERS[name]}telemetry: {{enabled: false}}\n")
            with launching(Path(folder)) as deployment:
                print_row(name, *measure(deployment, count))


def print_row(*cells: str | float) -> None:
    shown = [f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells]
    print("  ".join(cell.rjust(len(title)) for cell, title in zip(shown, _COLUMNS, strict=True)), flush=True)


def measure(deployment: Launching, count: int) -> tuple[float, ...]:
    """All columns but the name."""
    for _ in range(_WARM_UP):
        flush(deployment)
    starters = processes_at_rest()
    before = Held.by(starters)
    seconds = [flush(deployment) for _ in range(count)]
    left = len(processes_at_rest()) - len(starters)
    after = Held.by(starters)
    return (
        count,
        statistics.median(seconds),
        statistics.quantiles(seconds, n=10)[-1],
        (after.cpu_of_runs - before.cpu_of_runs) / count,
        left,
        after.descriptors - before.descriptors,
        (after.memory - before.memory) / _MB,
    )


def processes_at_rest() -> list[psutil.Process]:
    """All descendants, once none has come or gone for a while: the process of a run ends soon after its success."""
    while True:
        before: list[psutil.Process] = psutil.Process().children(recursive=True)
        clock.sleep(_REST)
        if psutil.Process().children(recursive=True) == before:
            return before


def flush(deployment: Launching) -> float:
    """Seconds from the launch of a run to its success."""
    with StagingManager.open(Settings.from_env()) as staging:
        staging.enqueue(DATASET, rows(_ROWS))
    began = clock.monotonic()
    run = deployment.launch(_CONFIG)
    wait_until(lambda: deployment.run(run).is_finished, "the run", _PATIENCE, pause_seconds=_LOOK_EVERY)
    took = clock.monotonic() - began
    assert deployment.run(run).is_success
    return took


@dataclass(frozen=True)
class Held:
    """By the processes that start runs."""

    cpu_of_runs: float  # seconds of all their children that have ended
    descriptors: int  # this process counts, too: the launcher is in it
    memory: int  # bytes that no other process shares

    @classmethod
    def by(cls, starters: Sequence[psutil.Process]) -> Held:
        times = [process.cpu_times() for process in starters]
        return cls(
            cpu_of_runs=sum(time.children_user + time.children_system for time in times),
            descriptors=sum(process.num_fds() for process in (*starters, psutil.Process())),
            memory=sum(process.memory_full_info().uss for process in starters),
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, sys.argv[2:] or list(LAUNCHERS))

"""Dagster's default run launcher beside ours: from launch to success of a small flush, and the CPU of its process.

Run it from the repository with `python -m benchmarks.launchers [runs]`. At the end no process of a run may be left, and
the processes that started them must have no more descriptors than after the first run.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import tempfile
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
_ROWS = 1_000  # of each flush
_CONFIG = {"ops": {"claim_backlogs": {"config": {"flushes": [{"dataset": DATASET, "trigger": "manual"}]}}}}
_PATIENCE = 300.0  # seconds for one run
_LOOK_EVERY = 0.01  # seconds
_REST = 3.0  # seconds


def main(count: int) -> None:
    """A table on standard output."""
    logging.disable(logging.INFO)
    print(f"{'launcher':>10}{'runs':>7}{'median s':>10}{'p90 s':>8}{'CPU s a run':>13}{'left over':>11}")
    for name, configuration in LAUNCHERS.items():
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {"TIMESTORE_HOME": f"{folder}/home", "DAGSTER_DISABLE_TELEMETRY": "1"}
            Path(folder, "dagster.yaml").write_text(f"{configuration}telemetry: {{enabled: false}}\n")
            with launching(Path(folder)) as deployment:
                measure(name, deployment, count)


def measure(name: str, deployment: Launching, count: int) -> None:
    flush(deployment)  # starts the warm parent
    starters = processes_at_rest()
    cpu, descriptors = cpu_of_runs(starters), open_descriptors(starters)
    seconds = [flush(deployment) for _ in range(count)]
    assert processes_at_rest() == starters, "a run's process is left"
    median, p90 = statistics.median(seconds), statistics.quantiles(seconds, n=10)[-1]
    each, left = (cpu_of_runs(starters) - cpu) / count, open_descriptors(starters) - descriptors
    print(f"{name:>10}{count:>7,}{median:>10.2f}{p90:>8.2f}{each:>13.2f}{left:>11}")


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


def cpu_of_runs(starters: list[psutil.Process]) -> float:
    """Seconds of all their children that have ended."""
    times = [process.cpu_times() for process in starters]
    return float(sum(time.children_user + time.children_system for time in times))


def open_descriptors(starters: list[psutil.Process]) -> int:
    return sum(process.num_fds() for process in starters)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)

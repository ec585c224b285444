"""CPU, memory and disk of staging and publishing, for docs/sizing.md: figures that a busy machine hardly changes.

Each line comes from a process of its own, so that its peak of memory is its own. CPU is user and system time of all its
threads. Run it from the repository with `python -m benchmarks.capacity`; it takes a minute or two.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from benchmarks.workers.rows import rows
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

STAGED = {10: 20_000, 100: 10_000, 1_000: 2_000, 10_000: 200}  # rows of a batch: batches
FLUSHED = (10_000, 100_000, 1_000_000, 4_000_000)  # rows of one flush into one partition
DATASET = "sized"
_PREPARED = 10_000  # rows of a batch, where staging is not measured
_GUARDRAIL = 10**12  # bytes: far
_PATIENCE = timedelta(minutes=10)


def main() -> None:
    """Two tables on standard output."""
    print(f"{'rows a batch':>12}{'CPU ms a batch':>16}{'rows a CPU second':>19}{'disk bytes a row':>18}{'peak MB':>9}")
    for size, batches in STAGED.items():
        cost, count = _in_a_process("stage", size), batches * size
        shown = (1e3 * cost["cpu"] / batches, count / cost["cpu"], cost["bytes"] / count, cost["peak"])
        print("{:>12,}{:>16.2f}{:>19,.0f}{:>18.0f}{:>9.0f}".format(size, *shown))
    print(f"{'rows a flush':>12}{'CPU s a flush':>16}{'rows a CPU second':>19}{'file bytes a row':>18}{'peak MB':>9}")
    for count in FLUSHED:
        cost = _in_a_process("flush", count)
        shown = (cost["cpu"], count / cost["cpu"], cost["bytes"] / count, cost["peak"])
        print("{:>12,}{:>16.2f}{:>19,.0f}{:>18.1f}{:>9.0f}".format(count, *shown))


def _in_a_process(what: str, amount: int) -> dict[str, float]:
    """`cpu` in seconds, `bytes` on disk, `peak` in MB; raises `CalledProcessError`."""
    with tempfile.TemporaryDirectory() as home:
        if what == "flush":
            _run("prepare", amount, home)
        return dict[str, float](json.loads(_run(what, amount, home)))


def _run(what: str, amount: int, home: str) -> str:
    command = [sys.executable, "-m", "benchmarks.capacity", what, str(amount), home]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def prepare(settings: Settings, count: int) -> None:
    """Stage the rows that a flush publishes."""
    batch = rows(_PREPARED)
    with StagingManager.open(settings) as staging:
        for _ in range(count // _PREPARED):
            staging.enqueue(DATASET, batch)


def stage(settings: Settings, size: int) -> float:
    """One producer that does not wait for receipts; bytes on disk."""
    batch = rows(size)
    with StagingManager.open(settings) as staging:
        for receipt in [staging.submit(DATASET, batch, max_wait=_PATIENCE) for _ in range(STAGED[size])]:
            receipt.result()
        with Timestore(settings) as timestore:
            return float(timestore.status(DATASET).backlog.disk_bytes)


def flush(settings: Settings, _count: int) -> float:
    """One flush; bytes of its files."""
    with Timestore(settings) as timestore:
        done = timestore.flush(DATASET, Trigger.MANUAL, "capacity")
        assert done is not None, "something is staged"
        return float(done.file_bytes)


def _measured(what: str, amount: int, home: Path) -> None:
    settings = Settings.build(home=home, staging_max_dataset_bytes=_GUARDRAIL)
    if what == "prepare":
        return prepare(settings, amount)
    before = resource.getrusage(resource.RUSAGE_SELF)
    written = (stage if what == "stage" else flush)(settings, amount)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    print(json.dumps({"cpu": cpu, "bytes": written, "peak": after.ru_maxrss / 1_000}))
    return None


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        _measured(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

"""Event logs of runs: many lines of a run in one event, and the removal of the logs of finished runs.

An event costs 10 ms of CPU, however long its text is, so a run of hundreds of datasets can log a line for each. A
warning is written at once, with the lines before it; other lines follow within a few seconds, or when the run ends. A
killed run loses the lines that were not written yet. Only the run's own thread writes to Dagster's event log: lines of
other threads wait for it.

Dagster keeps event logs for ever, in SQLite a file of 128 kB for each flush. Not `DagsterInstance.delete_run`: in
SQLite it leaves the file in place, and removes the marks of the partitions that the run published. Here the file and
the captured output are removed. The run stays in the list, and its asset events stay, which Dagster keeps in another
file. A crash leaves logs that the next maintenance removes.
"""

import logging
import threading
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.system import clock

MOST = 5_000  # in one run of the job: a night's share, and seconds of work
_AT_ONCE = 200  # run ids in one query to Dagster
_FILES = ("", "-wal", "-shm")

_EVERY = 5.0  # seconds; a line that has waited longer is written at the next line or call of `catch_up`
_MOST_LINES = 500  # in one event


class RunLog:
    """Stands in for the logger of a run's event log; to be made by the run's thread."""

    def __init__(self, target: logging.Logger) -> None:
        self._target = target
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._lines: list[tuple[int, str]] = []
        self._written_at = clock.monotonic()

    def log(self, level: int, message: str, *arguments: object) -> None:
        with self._lock:
            self._lines.append((level, message % arguments))
        self.catch_up(at_once=level >= logging.WARNING)

    def catch_up(self, *, at_once: bool = False) -> None:
        """Write the waiting lines if they are due; does nothing in another thread than the run's."""
        if threading.get_ident() != self._thread or not self._lines:
            return
        if at_once or clock.monotonic() - self._written_at >= _EVERY or len(self._lines) >= _MOST_LINES:
            self._write()

    def close(self) -> None:
        self.catch_up(at_once=True)

    def _write(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        for level, some in groupby(lines, key=lambda line: line[0]):
            self._target.log(level, "%s", "\n".join(text for _, text in some))
        self._written_at = clock.monotonic()


def forget_run_logs(instance: dg.DagsterInstance, shard: str, before: datetime, most: int = MOST) -> int:
    """Remove the logs of the shard's runs that ended before an instant; returns the number of runs.

    Does nothing where the event log is not in SQLite files: a database server has its own means.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return 0
    old = (name for name in storage.get_all_run_ids() if _written_before(Path(storage.path_for_shard(name)), before))
    forgotten = 0
    while forgotten < most and (some := list(islice(old, _AT_ONCE))):
        for run_id in islice(_finished(instance, shard, some), most - forgotten):
            _remove(instance, storage, run_id)
            forgotten += 1
    return forgotten


def _finished(instance: dg.DagsterInstance, shard: str, run_ids: list[str]) -> Iterator[str]:
    chosen = dg.RunsFilter(run_ids=run_ids, tags={SHARD_TAG: shard}, statuses=FINISHED_STATUSES)
    return (record.dagster_run.run_id for record in instance.get_run_records(chosen))


def _remove(instance: dg.DagsterInstance, storage: SqliteEventLogStorage, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    for suffix in _FILES:
        Path(storage.path_for_shard(run_id) + suffix).unlink(missing_ok=True)


def _written_before(path: Path, instant: datetime) -> bool:
    try:
        return path.stat().st_mtime < instant.timestamp()
    except FileNotFoundError:
        return False

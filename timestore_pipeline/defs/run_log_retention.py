"""Removal of the event logs of finished runs, which Dagster keeps for ever.

In SQLite a log is a file of 128 kB for each flush, and the file is removed. In a database, such as PostgreSQL, a log is
rows of one table for all runs; the rows are deleted, but for the events of assets and checks. SQLite has copies of
those in another file. So in both, the run stays in the list, and what it published stays on the pages of assets.

Not `DagsterInstance.delete_run`: it removes the marks of the partitions that the run published, and in SQLite it leaves
the file in place. The captured output goes first, then the log, by which the next maintenance would find the run again:
a crash leaves logs that it removes.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import dagster as dg
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable, SqliteEventLogStorage
from sqlalchemy import or_, select

from timestore_pipeline.defs.job import SHARD_TAG

MOST = 5_000  # in one run of the job: a night's share, and seconds of work
_AT_ONCE = 200  # runs in one query
_FILES = ("", "-wal", "-shm")
_ENDS = [type_.value for type_, status in EVENT_TYPE_TO_PIPELINE_RUN_STATUS.items() if status in FINISHED_STATUSES]
_KEPT = [type_.value for type_ in ASSET_EVENTS | ASSET_CHECK_EVENTS]


def forget_run_logs(instance: dg.DagsterInstance, shard: str, before: datetime, most: int = MOST) -> int:
    """Remove the logs of the shard's runs that ended before an instant; returns the number of runs.

    Does nothing where the event log is neither in SQLite files nor in a database.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    logs = _Files(storage) if isinstance(storage, SqliteEventLogStorage) else _Rows(storage)
    old, forgotten = logs.ended(before), 0
    while forgotten < most and (some := list(islice(old, _AT_ONCE))):
        finished = _finished(instance, shard, some)[: most - forgotten]
        for run_id in finished:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
        logs.remove(finished)
        forgotten += len(finished)
    return forgotten


def _finished(instance: dg.DagsterInstance, shard: str, run_ids: list[str]) -> list[str]:
    chosen = dg.RunsFilter(run_ids=run_ids, tags={SHARD_TAG: shard}, statuses=FINISHED_STATUSES)
    return [record.dagster_run.run_id for record in instance.get_run_records(chosen)]


class _Files:
    """A file for each run."""

    def __init__(self, storage: SqliteEventLogStorage) -> None:
        self._storage = storage

    def ended(self, before: datetime) -> Iterator[str]:
        """Ids of runs, others among them, whose log was last written to before an instant."""
        return (run_id for run_id in self._storage.get_all_run_ids() if self._written_before(run_id, before))

    def remove(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            for suffix in _FILES:
                Path(self._storage.path_for_shard(run_id) + suffix).unlink(missing_ok=True)

    def _written_before(self, run_id: str, instant: datetime) -> bool:
        try:
            return Path(self._storage.path_for_shard(run_id)).stat().st_mtime < instant.timestamp()
        except FileNotFoundError:
            return False


class _Rows:
    """Rows of one table; an index finds the event with which a run ended, and the events of a run."""

    def __init__(self, storage: SqlEventLogStorage) -> None:
        self._storage = storage

    def ended(self, before: datetime) -> Iterator[str]:
        """Ids of runs, others among them, that ended before an instant and still have that event, oldest first."""
        table = SqlEventLogStorageTable.c
        instant, last = before.astimezone(UTC).replace(tzinfo=None), -1  # the table's times are in UTC
        while True:
            old = [table.dagster_event_type.in_(_ENDS), table.timestamp < instant, table.id > last]
            query = select(table.id, table.run_id).where(*old).order_by(table.id).limit(_AT_ONCE)
            with self._storage.index_connection() as connection:
                found = connection.execute(query).fetchall()
            if not found:
                return
            yield from (run_id for _, run_id in found)
            last = found[-1][0]

    def remove(self, run_ids: Sequence[str]) -> None:
        table = SqlEventLogStorageTable.c
        of_no_asset = or_(table.dagster_event_type.is_(None), table.dagster_event_type.not_in(_KEPT))
        with self._storage.index_transaction() as connection:
            connection.execute(SqlEventLogStorageTable.delete().where(table.run_id.in_(run_ids), of_no_asset))

"""The staging directory and the lake, opened once per run and once per sensor tick, closed with it.

A run is tagged with the process that works on it: after a crash, that tag is the only proof that the process is gone.
A process that dies drops its locks, which frees every claim that it held. A terminated run gives its claims back before
it exits. A stopped process does not renew its lease, and loses its claims when the lease ends.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from sqlalchemy import NullPool, create_engine, text

from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.defs.run_logs import RunLog
from timestore_pipeline.monitoring.telemetry.logs import forwarded
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

PROCESS_TAG = "timestore/process"  # the worker's process id in the ledger's sense


class TimestoreResource(dg.ConfigurableResource[Timestore]):
    """Configured by the `TIMESTORE_*` variables alone, so that the command line and Dagster never disagree.

    The library's log lines, above all one per flush, also go into the run's event log.

    Ops and sensors receive the `Timestore` itself. Raises `InvalidSettings`, `LedgerMismatch`, `Corrupted`.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Timestore]:
        settings = Settings.from_env()
        log = RunLog(context.log or dg.get_dagster_logger())
        with closing(log), forwarded(log, settings), Timestore(settings) as timestore, _cheap_events(context):
            _sign(context, timestore)
            try:
                yield timestore
            finally:
                timestore.pipeline.give_back()  # a terminated run's claims, at once


def _cheap_events(context: dg.InitResourceContext) -> AbstractContextManager[None]:
    if context.run is None or context.instance is None:
        return nullcontext()
    return kept_open(context.instance, context.run.run_id)


@contextmanager
def kept_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Keep the event log's files open while a run writes its events; does nothing for storages other than SQLite.

    Dagster opens a connection for each event and closes it. When the last connection to a file is closed, SQLite copies
    its log into the file and flushes both: two of the three waits that an event costs. One more connection, which stays
    open and reads nothing, avoids both. It blocks no other connection, and ends with the process.
    """
    storage = instance.event_log_storage
    with ExitStack() as connections:
        if isinstance(storage, SqliteEventLogStorage):
            for shard in (INDEX_SHARD_NAME, run_id):
                engine = create_engine(storage.conn_string_for_shard(shard), poolclass=NullPool)
                connection = connections.enter_context(engine.connect())
                connection.execute(text("SELECT 1 FROM sqlite_master")).close()
                connection.rollback()  # only the connection is needed; a snapshot would let SQLite's log grow
        yield


def _sign(context: dg.InitResourceContext, timestore: Timestore) -> None:
    if context.run is not None and context.instance is not None:
        timestore.area.held_claims.keep_renewing()
        area = timestore.area
        context.instance.add_run_tags(
            context.run.run_id,
            {PROCESS_TAG: area.identity.process_id, SHARD_TAG: area.shard},  # a run from an asset's page has no shard
        )

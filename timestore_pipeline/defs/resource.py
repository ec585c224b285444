"""The staging directory and the lake, opened once per run and once per sensor tick, closed with it.

A run is tagged with the process that works on it: after a crash, that tag is the only proof that the process is gone.
Another tag bounds the run's time, for run monitoring: of our runs only, in an instance that may have much longer ones.
A process that dies drops its locks, which frees every claim that it held. A terminated run gives its claims back before
it exits. A stopped process does not renew its lease, and loses its claims when the lease ends.

Metrics are pushed after each op if a push is due, without delaying the run: a hook sends and does not wait. A later
hook reads the answer, or the end of the run, which waits for it no longer than `telemetry.push.DEADLINE` after the push
was sent. A push that fails is not repeated in the same run, nor in the next ones for a while. Nothing is lost by that:
the counters live in the ledger and go out with the next run or heartbeat.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from datetime import timedelta

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.tags import MAX_RUNTIME_SECONDS_TAG
from sqlalchemy import NullPool, create_engine, text

from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.defs.run_logs import RunLog
from timestore_pipeline.monitoring.telemetry.logs import forwarded
from timestore_pipeline.monitoring.telemetry.push import Push, begin_if_due
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

PROCESS_TAG = "timestore/process"  # the worker's process id in the ledger's sense
LONGEST_RUN = timedelta(hours=1)  # no flush takes so long; a run that does is ended, and the next goes on


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
    """A run from an asset's page has no tag of a job's. Who launches a run may bound its time otherwise."""
    if context.run is not None and context.instance is not None:
        timestore.area.held_claims.keep_renewing()
        tags = {PROCESS_TAG: timestore.area.identity.process_id, SHARD_TAG: timestore.area.shard}
        if MAX_RUNTIME_SECONDS_TAG not in context.run.tags:
            tags[MAX_RUNTIME_SECONDS_TAG] = f"{LONGEST_RUN.total_seconds():.0f}"
        context.instance.add_run_tags(context.run.run_id, tags)


class MetricsGateway:
    """The configured Pushgateway of one run, or nothing."""

    def __init__(self, timestore: Timestore) -> None:
        self._timestore = timestore
        self._wanted = timestore.settings.pushgateway_url is not None
        self._under_way: Push | None = None

    def push(self, log: logging.Logger) -> None:
        """Send everything if a push is due and no answer is outstanding; never raises and never waits."""
        if self._under_way is not None and self._under_way.done:
            self._settle(log)
        if self._wanted and self._under_way is None:
            self._under_way = begin_if_due(self._timestore.area, self._timestore.settings)

    def close(self, log: logging.Logger) -> None:
        """Wait for the outstanding answer, and send once more if a push is due."""
        self._settle(log)
        self.push(log)
        self._settle(log)

    def _settle(self, log: logging.Logger) -> None:
        """Log a failed push, at most once per run."""
        push, self._under_way = self._under_way, None
        if push is not None and not push.settle():
            self._wanted = False
            log.warning("metrics were not pushed to TIMESTORE_PUSHGATEWAY_URL; not tried again in this run")


@dg.resource(required_resource_keys={"timestore"}, description="Where hooks push metrics.")
@contextmanager
def metrics_gateway(context: dg.InitResourceContext) -> Iterator[MetricsGateway]:
    gateway = MetricsGateway(context.resources.timestore)
    try:
        yield gateway
    finally:
        gateway.close(context.log or dg.get_dagster_logger())

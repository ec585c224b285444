"""Makes Dagster's event log in SQLite cheaper to write to for as long as a run lasts.

Dagster opens a connection for each event and closes it. When the last connection to a file is closed, SQLite copies its
log into the file and flushes both: two of the three waits that an event costs. One more connection, which stays open
and reads nothing, avoids both. It blocks no other connection, and ends with the process.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from sqlalchemy import NullPool, create_engine, text


@contextmanager
def kept_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Keep the event log's files open while a run writes its events; does nothing for storages other than SQLite."""
    storage = instance.event_log_storage
    with ExitStack() as connections:
        if isinstance(storage, SqliteEventLogStorage):
            for shard in (INDEX_SHARD_NAME, run_id):
                engine = create_engine(storage.conn_string_for_shard(shard), poolclass=NullPool)
                connection = connections.enter_context(engine.connect())
                connection.execute(text("SELECT 1 FROM sqlite_master")).close()
                connection.rollback()  # only the connection is needed; a snapshot would let SQLite's log grow
        yield

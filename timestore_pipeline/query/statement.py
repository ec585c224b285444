"""One SQL statement over datasets, each a view of its published and its staged rows, every row once.

The text must be one statement that only reads. DuckDB's parser shows the names in it before anything is opened, so only
the datasets that it names are prepared, and it can access nothing else: no file, no other database, no setting. Results
stream; data that does not fit into memory is spilled into the query's folder.

Ctrl-C interrupts a query. Python handles a signal between two of its own instructions, and a call that pulls the next
rows of a result may last for minutes: such calls run in a separate thread, while the caller's thread waits.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from timestore_pipeline.errors import InvalidQuery, RetryLater, TimestoreError
from timestore_pipeline.lake.snapshot import TableSnapshot
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.dataset import is_dataset_name
from timestore_pipeline.model.sql_types import quote
from timestore_pipeline.query.plan import Pins, QuerySource, plan_all, plan_published
from timestore_pipeline.query.sql_errors import QUOTING, own_message, quoting_hint
from timestore_pipeline.query.staged_rows import StagedRows
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.scratch import query_folder
from timestore_pipeline.staging.system_errors import interruptions, system_error
from timestore_pipeline.system.context_managers import Closing

_READS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)  # MULTI: a pivot
_NAME = re.compile(r'"((?:[^"]|"")+)"|([\w.]+)')

_BATCH_ROWS = 10_000  # of a result
_LOCKED = (  # in this order: the last one fixes the others
    "SET python_enable_replacements = false",  # a variable of this program is not a table
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
# Words of DuckDB's errors, and one of Arrow's, that a damaged file may cause.
_OF_FILES = ("IO Error", "IOError", "INTERNAL", "Serialization", "Corrupt", "FATAL")
_AGAIN = 0.02  # seconds

T = TypeVar("T")


def check_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise `InvalidQuery` if the text cannot be parsed, is not one statement, or would do more than read."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise InvalidQuery(f"query refused: {own_message(error)}", hint=quoting_hint(connection, sql)) from error
    if len(statements) != 1:
        raise InvalidQuery(f"query refused: {len(statements)} statements", hint="give one statement")
    if statements[0].type not in _READS:
        raise InvalidQuery(
            f"query refused: {statements[0].type.name} does more than read",
            hint="give a SELECT; staged and published rows are changed by ingesting and flushing only",
        )


def names_read(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """Dataset names the statement may read from, sorted; there need not be such datasets."""
    [(tree,)] = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    parsed = json.loads(tree)
    # An EXPLAIN or a pivot has no tree: then every word that may be a name counts as one.
    found = (quoted or bare for quoted, bare in _NAME.findall(sql)) if parsed["error"] else _tables(parsed)
    return sorted({name.lower() for name in found if is_dataset_name(name.lower())})


def _tables(tree: Any) -> Iterator[str]:
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if node.get("type") in ("BASE_TABLE", "SHOW_REF"):
                yield node["table_name"].strip('"')
            node = list(node.values())
        if isinstance(node, list):
            nodes += node


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """A statement's result, readable while the query is open."""

    rows: pa.RecordBatchReader  # column names are distinct; reading raises the same errors as opening
    notes: Sequence[str]  # rows that are not read, and why; empty = nothing was left out


@contextmanager
def query(area: StagingArea, lake: Lake, sql: str, *, memory_mb: int) -> Iterator[QueryAnswer]:
    """Published and staged rows; memory_mb: of DuckDB's buffers, in MiB.

    Raises `InvalidQuery`, `UnreadableSegment` for a damaged segment, `RetryLater`, and the errors of ledger and lake.
    """
    with query_folder(area) as folder, closing(open_engine(memory_mb, folder)) as connection:
        names = _names(connection, sql)
        pins = Pins(area, folder)
        sources = plan_all(area, lake, names, pins)
        known = lambda: {*lake.datasets(), *area.ledger.datasets.names(active=True)}  # noqa: E731
        staged = StagedRows(connection, pins, folder, area.ledger.datasets.segments_differ)
        with _Query(connection, known, staged) as running:
            yield running.answer(sql, sources)


@contextmanager
def query_published(lake: Lake, sql: str, *, memory_mb: int) -> Iterator[QueryAnswer]:
    """Published rows alone; needs no staging directory.

    Raises `InvalidQuery`, `RetryLater`, and the errors of the lake.
    """
    with (
        tempfile.TemporaryDirectory(prefix="timestore-query-") as folder,
        closing(open_engine(memory_mb, Path(folder))) as connection,
    ):
        sources = plan_published(lake, _names(connection, sql))
        with _Query(connection, lambda: set(lake.datasets()), None) as running:
            yield running.answer(sql, sources)


def _names(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    check_reads(connection, sql)
    return names_read(connection, sql)


class _Query(Closing):
    """One running statement."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, known: Callable[[], set[str]], staged: StagedRows | None
    ) -> None:
        """known: names of all datasets, for the hint after a misspelt one. staged: None = published rows only."""
        self._connection = connection
        self._known = known
        self._staged = staged
        self._tables: list[TableSnapshot] = []
        self._worker = QueryThread(connection)

    def answer(self, sql: str, sources: Sequence[QuerySource]) -> QueryAnswer:
        self._tables = [source.table for source in sources if source.table is not None]
        for source in sources:
            self._create_view(source)
        for statement in _LOCKED:
            self._connection.execute(statement)
        with self._translated():
            reader = self._worker.run(lambda: self._connection.sql(sql).to_arrow_reader(_BATCH_ROWS))
        names = _distinct(reader.schema.names)
        schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
        rows = pa.RecordBatchReader.from_batches(schema, self._batches(reader, names))
        return QueryAnswer(rows, [note for source in sources for note in source.notes])

    def close(self) -> None:
        self._worker.close()

    def _create_view(self, source: QuerySource) -> None:
        parts = []
        if source.table is not None:
            published = f"__published_{source.dataset}"  # no dataset's name begins with an underscore
            self._connection.register(published, source.table.to_arrow_dataset())
            parts.append(f"SELECT * FROM {quote(published)}")
        if source.record is not None and self._staged is not None:
            parts.append(self._staged.sql(source))
        union = " UNION ALL BY NAME ".join(parts)
        self._connection.execute(f"CREATE TEMP VIEW {quote(source.dataset)} AS {union}")

    def _batches(self, reader: pa.RecordBatchReader, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with self._translated():
            while (batch := self._worker.run(lambda: next(reader, None))) is not None:
                yield batch.rename_columns(names)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate errors of DuckDB and Arrow by cause: the statement, the memory, the disk or a damaged file."""
        try:
            with interruptions():
                yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise self._translation(error) from error

    def _translation(self, error: Exception) -> TimestoreError:
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory Error" in str(error):
            hint = "raise TIMESTORE_EXPORT_MEMORY_MB, or query fewer rows at once"
            return RetryLater(f"the query needs more memory: {str(error).splitlines()[0]}", hint=hint)
        if any(sign in str(error) for sign in _OF_FILES):
            for table in self._tables:
                table.check_files()
            if self._staged is not None:
                self._staged.check_segments()
            if (refused := system_error(error, "the query")) is not None:
                return refused
        return InvalidQuery(
            f"query refused: {own_message(error)}",
            hint=f"datasets: {', '.join(sorted(self._known())) or 'none'}; {QUOTING}",
        )


def _distinct(names: Sequence[str]) -> list[str]:
    """A JSON object has each name once; the second `n` becomes `n_2`."""
    taken: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.append(candidate)
    return taken


class QueryThread(Closing):
    """Makes one call at a time on a connection; an exception during the wait interrupts the call."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="timestore-query")
        self._closed = False

    def run(self, call: Callable[[], T]) -> T:
        future: Future[T] = self._thread.submit(call)
        try:
            wait([future])
        except BaseException:
            self._end_call()
            raise
        return future.result()

    def close(self) -> None:
        if not self._closed:
            self._end_call()
            self._thread.shutdown()
            self._closed = True

    def _end_call(self) -> None:
        """Return when no call is running. DuckDB drops an interrupt that comes before its query has begun."""
        after = self._thread.submit(lambda: None)
        self._connection.interrupt()
        while not wait([after], _AGAIN).done:
            self._connection.interrupt()

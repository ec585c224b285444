"""The staged rows of a dataset as SQL, in the columns and types they will be published with.

Segments are attached read-only, by the query's own links, and rows in journals are copied. An attached segment
takes a file descriptor and a quarter of a megabyte; so where there are very many, their rows are copied into a scratch
database, some at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from timestore_pipeline.errors import DiskFailing, UnreadableSegment
from timestore_pipeline.flush.attach import RowsUnfit, StagedSource, attach_records
from timestore_pipeline.flush.retyped_columns import retyped_columns
from timestore_pipeline.flush.settle import partitioning_of
from timestore_pipeline.flush.staged_view import select_staged
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.sql_types import literal, quote
from timestore_pipeline.query.plan import Held, Pins, QuerySource, with_remedy
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.journal import JournalReader
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.staging.ledger.staged import HeldBatch
from timestore_pipeline.staging.segments import translated

MOST_ATTACHED = 250  # segments of one query, as many as of one claim

_SCRATCH = "scratch"


class StagedRows:
    """Bound to the connection of one query."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, pins: Pins, folder: Path, differ: Callable[[str], bool]
    ) -> None:
        """differ: whether segments of the dataset with this name may hold other types than its record."""
        self._connection = connection
        self._pins = pins
        self._differ = differ
        self._scratch = folder / "scratch.duckdb"
        self._attached: dict[str, str] = {}  # segment id -> dataset

    def sql(self, source: QuerySource) -> str:
        """SQL for the rows; raises `UnreadableSegment` for a file that lacks acknowledged rows."""
        assert source.record is not None, "staged rows have a ledger record"
        if len(self._attached) + len(source.held) > MOST_ATTACHED:
            relation = self._copied(source, source.record)
        else:
            sources = [*self._attach(source.dataset, source.held), *self._attach_records(source)]
            relation = self._select(source, source.record, sources)
        return f"SELECT {_columns(source.record)} FROM ({relation})"

    def _select(self, source: QuerySource, record: DatasetRecord, sources: Sequence[StagedSource]) -> str:
        may_differ = source.types_differ or self._differ(record.name)
        leeway = _no_leeway if source.table is None else source.table.leeway
        retyped = retyped_columns(self._connection, record, sources, leeway) if may_differ else {}
        return select_staged(record, sources, retyped)

    def check_segments(self) -> None:
        """Read every attached segment to the end; raises `UnreadableSegment` that names a damaged one."""
        for segment_id, dataset in self._attached.items():
            with open_engine() as engine, _named(self._pins, dataset, segment_id):
                engine.execute(f"ATTACH {literal(str(self._pins.path(segment_id)))} AS checked (READ_ONLY)")
                engine.execute("SELECT bit_xor(hash(r)) FROM checked.rows AS r").fetchall()

    def _attach_records(self, source: QuerySource) -> list[StagedSource]:
        try:
            with JournalReader(self._pins.journal_origin, self._pins.journal) as journals:
                return attach_records(self._connection, journals, source.dataset, source.records)
        except UnreadableSegment as error:
            raise with_remedy(error) from error.__cause__
        except RowsUnfit as unfit:
            raise with_remedy(UnreadableSegment(next(iter(unfit.culprits.values())), dataset=source.dataset)) from unfit

    def _attach(self, dataset: str, held: Held) -> list[StagedSource]:
        for segment_id, batches in held.items():
            with _named(self._pins, dataset, segment_id):
                path = literal(str(self._pins.path(segment_id)))
                self._connection.execute(f"ATTACH {path} AS {quote(segment_id)} (READ_ONLY)")
                self._check_counts(segment_id, dataset, batches)
            self._attached[segment_id] = dataset
        return [StagedSource(segment_id, segment_id, list(batches)) for segment_id, batches in held.items()]

    def _check_counts(self, segment_id: str, dataset: str, batches: Mapping[int, HeldBatch]) -> None:
        """A segment that has lost rows must not produce a result that looks complete."""
        counted = f"SELECT {BATCH_COLUMN}, count(*) FROM {quote(segment_id)}.rows GROUP BY ALL"
        found = dict(self._connection.execute(counted).fetchall())
        for sequence, batch in batches.items():
            if found.get(sequence, 0) != batch.rows:
                path = self._pins.origin(dataset, segment_id)
                raise UnreadableSegment(
                    f"batch {batch.batch_id} was acknowledged with {batch.rows} rows,"
                    f" segment {path} holds {found.get(sequence, 0)}",
                    dataset=dataset,
                )

    def _copied(self, source: QuerySource, record: DatasetRecord) -> str:
        """The scratch table with the rows."""
        if not self._scratch.exists():
            self._connection.execute(f"ATTACH {literal(str(self._scratch))} AS {_SCRATCH}")
        table = f"{_SCRATCH}.{quote(record.name)}"
        self._connection.execute(f"CREATE TABLE {table} AS {select_staged(record, [], {})}")
        self._insert(table, source, record, self._attach_records(source))
        for some in _portions(source.held):
            self._insert(table, source, record, self._attach(record.name, some))
            for segment_id in some:
                self._connection.execute(f"DETACH {quote(segment_id)}")
                del self._attached[segment_id]
        return f"SELECT * FROM {table}"

    def _insert(self, table: str, source: QuerySource, record: DatasetRecord, sources: Sequence[StagedSource]) -> None:
        self._connection.execute(f"INSERT INTO {table} {self._select(source, record, sources)}")


@contextmanager
def _named(pins: Pins, dataset: str, segment_id: str) -> Iterator[None]:
    """Errors name the segment by its path in the staging directory, with a remedy."""
    try:
        with translated(pins.origin(dataset, segment_id), dataset):
            yield
    except (UnreadableSegment, DiskFailing) as error:
        raise with_remedy(error) from error.__cause__


def _no_leeway(_column: str) -> None:
    """The leeway of a dataset without a table."""


def _portions(held: Held) -> Iterator[Held]:
    ids = list(held)
    for first in range(0, len(ids), MOST_ATTACHED):
        yield {segment_id: held[segment_id] for segment_id in ids[first : first + MOST_ATTACHED]}


def _columns(record: DatasetRecord) -> str:
    """The dataset's columns, and the partition column as the table has it."""
    assert record.schema is not None, "rows are staged in columns"
    partitioning = partitioning_of(record)
    columns = [quote(name) for name in record.schema.names]
    if partitioning.column is not None:
        value = partitioning.value_sql()
        zoned = f"({value}) AT TIME ZONE 'UTC'" if partitioning.granularity is Granularity.HOUR else value
        columns.append(f"{zoned} AS {partitioning.column}")
    return ", ".join(columns)

"""Segment files: DuckDB databases that hold staged rows, append-only, without keys, indexes or ALTER.

A segment is built under a temporary name and renamed when its tables are durable, so a file under its final name is
always a valid database. While open it belongs to one process; DuckDB's lock keeps all others out. A crash leaves it
with a write-ahead log, which replays when a flush takes the segment over. Sealing detaches it, which folds the log
into the file; after that it is only ever read, and finally unlinked.

Tables: `rows` holds the dataset's columns, `__timestore_batch` (the batch a row belongs to) and `__timestore_commit`.
Each group commit adds one more row, of batch -1, whose `__timestore_commit` is a JSON array that describes the
batches of the commit; `segment` holds one row that says what the file is. So a file describes itself to whoever finds
it without a ledger.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from timestore_pipeline import clock
from timestore_pipeline.durable import keep_private, make_folder, sync
from timestore_pipeline.errors import (
    InvalidData,
    RetryLater,
    TimestoreError,
    UnreadableSegment,
)
from timestore_pipeline.model.batch import StagedBatch, batch_id
from timestore_pipeline.model.columns import duckdb_type, quote, schema_to_json, stored_schema
from timestore_pipeline.model.sql_types import literal
from timestore_pipeline.staging.directory import write_ahead_log
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.group_rows import BATCH_COLUMN, COMMIT_COLUMN, group_rows
from timestore_pipeline.staging.system_errors import interruptions, system_error

FORMAT_VERSION = 1

# DuckDB's default of 256 kB makes the smallest file 540 kB; at a thousand datasets that is the guardrail itself.
BLOCK_SIZE = 16384

_HELD = ("Could not set lock", "Unique file handle conflict")  # by another process, or by this one's own writer
_NO_LOG = (0, 0)
_GIVEN_UP = ("fsync failed", "database has been invalidated")


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What the file says about itself."""

    segment_id: str
    shard: str
    dataset: str
    schema: pa.Schema  # canonical columns, fixed for the file's life
    time_column: str | None = None  # None = the dataset has none, or its layout is open
    granularity: str | None = None  # None = the layout is open, or the file is of a release that did not say


def new_segment_id() -> str:
    """Sorts by creation time; the random half keeps processes apart."""
    return f"{clock.to_micros(clock.now()):016x}{uuid.uuid4().hex[:8]}"


class OpenSegment:
    """A segment this process writes. Not thread-safe: one writer thread owns it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, header: SegmentHeader) -> None:
        self.header = header
        self.bytes = 0  # Arrow bytes appended so far
        self._path = path
        self._connection = connection
        self._next_sequence = 0
        self._listed_log = _NO_LOG
        columns = stored_schema(header.schema)
        self._no_data = pa.Table.from_arrays([pa.nulls(1, kind) for kind in columns.types], schema=columns)
        self._catalog = quote(f"segment_{header.segment_id}")
        with translated(path, header.dataset):
            _build(connection, path, header)
            connection.execute(f"ATTACH {literal(str(path))} AS {self._catalog}")

    def take_sequence(self) -> int:
        """The next batch's position; never used twice, also when its append fails."""
        sequence, self._next_sequence = self._next_sequence, self._next_sequence + 1
        return sequence

    def append(self, batches: Sequence[tuple[StagedBatch, pa.Table]]) -> None:
        """Write the batches' rows in one transaction; durable on return.

        Raises `InvalidData`, `DiskFull`, `UnreadableSegment` or `RetryLater`; after each of them none of the rows is
        there.
        """
        copies = any(batch.batch_id != batch_id(self.header.segment_id, batch.sequence) for batch, _ in batches)
        rows = group_rows(batches, self._no_data, copies=copies)  # noqa: F841  # DuckDB reads it by its name
        with translated(self._path, self.header.dataset), _refused_rows_named(self.header.dataset):
            # Registering a view for the table instead would cost half a millisecond.
            self._connection.execute(f"INSERT INTO {self._catalog}.rows BY NAME SELECT * FROM rows")
            self._list_log()
        self.bytes += sum(batch.bytes for batch, _ in batches)

    def seal(self) -> None:
        """Fold the log into the file and let go of it."""
        with translated(self._path, self.header.dataset):
            self._connection.execute(f"DETACH {self._catalog}")

    def _list_log(self) -> None:
        """Flush the folder when a log has appeared: every 16 MiB DuckDB folds it in, unlinks it and makes another."""
        inode, size = _log_of(self._path)
        if inode != self._listed_log[0] or size < self._listed_log[1]:  # a new file may get the old one's inode
            sync(self._path.parent)
        self._listed_log = inode, size


def replay(path: Path, dataset: str, promised: Mapping[int, int] | None = None) -> None:
    """Take over a dead writer's segment: replay its log, fold it in, let go.

    promised: sequence -> rows of every batch acknowledged from it. DuckDB takes a damaged log for a torn one, drops
    what it cannot read and then the log; so the promises are counted read-only first, and file and log stay as they
    are when one is missing. Raises `RetryLater` when a process still holds the file, `UnreadableSegment`.
    """
    with open_engine() as connection:
        attach_sealed(connection, path, "looked_at", dataset)
        with translated(path, dataset):
            _check_promises(connection, path, dataset, promised or {})
            connection.execute("DETACH looked_at")
            connection.execute(f"ATTACH {literal(str(path))} AS replayed")
            connection.execute("DETACH replayed")


def attach_sealed(connection: duckdb.DuckDBPyConnection, path: Path, alias: str, dataset: str) -> None:
    """Attach a sealed segment for reading; raises `UnreadableSegment`."""
    with translated(path, dataset):
        if not path.exists():
            raise UnreadableSegment(f"segment {path} is missing", dataset=dataset, hint="look for it in backups")
        connection.execute(f"ATTACH {literal(str(path))} AS {quote(alias)} (READ_ONLY)")


def remove(path: Path) -> None:
    """Unlink a segment that nobody needs; doing it twice is fine."""
    write_ahead_log(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    write_ahead_log(building(path)).unlink(missing_ok=True)
    building(path).unlink(missing_ok=True)


@contextmanager
def translated(path: Path, dataset: str) -> Iterator[None]:
    """DuckDB's and the system's errors as typed ones that name the file."""
    try:
        with interruptions():
            yield
    except (duckdb.Error, OSError) as error:
        raise _translate(path, dataset, error) from error


@contextmanager
def _refused_rows_named(dataset: str) -> Iterator[None]:
    """Rows that Arrow can hold and DuckDB cannot, such as a map with a key twice, are the producer's to correct."""
    try:
        yield
    except (duckdb.DataError, duckdb.InvalidInputException, duckdb.ConstraintException) as error:
        raise InvalidData(f"DuckDB refuses the rows: {error}", dataset=dataset, hint="correct the rows") from error


def _translate(path: Path, dataset: str, error: Exception) -> TimestoreError:
    message = str(error)
    if any(sign in message for sign in _HELD):
        return RetryLater(f"{path} is held by a process", dataset=dataset, hint="its owner is alive; try again")
    if any(sign in message for sign in _GIVEN_UP):
        hint = "try again, in a new segment; a flush takes this one over. The kernel's log says what the disk had"
        return RetryLater(f"{path} could not be flushed to disk: {message}", dataset=dataset, hint=hint)
    if (refused := system_error(error, str(path), dataset)) is not None:
        return refused
    # Whatever else: DuckDB reports a damaged file under half a dozen classes, the base class among them.
    hint = "the file is kept; copy it away before you try to repair it"
    return UnreadableSegment(f"segment {path} cannot be used: {message}", dataset=dataset, hint=hint)


def _check_promises(
    connection: duckdb.DuckDBPyConnection, path: Path, dataset: str, promised: Mapping[int, int]
) -> None:
    counted = connection.execute(f"SELECT {BATCH_COLUMN}, count(*) FROM looked_at.rows GROUP BY ALL").fetchall()
    found = dict(counted)
    lost = [sequence for sequence, rows in promised.items() if found.get(sequence, 0) != rows]
    if lost:
        raise UnreadableSegment(
            f"segment {path} no longer holds batches {lost} as acknowledged",
            dataset=dataset,
            hint="file and log are kept; copy both away before you try to repair them",
        )


def _build(connection: duckdb.DuckDBPyConnection, path: Path, header: SegmentHeader) -> None:
    make_folder(path.parent, private=True)
    temporary = building(path)
    connection.execute(f"ATTACH {literal(str(temporary))} AS building_{header.segment_id} (BLOCK_SIZE {BLOCK_SIZE})")
    try:
        keep_private(temporary)
        _create_tables(connection, f"building_{header.segment_id}", header)
    finally:
        connection.execute(f"DETACH building_{header.segment_id}")
    temporary.rename(path)
    sync(path.parent)


def _create_tables(connection: duckdb.DuckDBPyConnection, catalog: str, header: SegmentHeader) -> None:
    columns = ", ".join(f"{quote(field.name)} {duckdb_type(field.type)}" for field in header.schema)
    connection.execute(f"CREATE TABLE {catalog}.rows ({BATCH_COLUMN} INTEGER, {COMMIT_COLUMN} VARCHAR, {columns})")
    connection.execute(
        f"CREATE TABLE {catalog}.segment AS SELECT ? AS format_version, ? AS segment_id, ? AS shard,"
        " ? AS dataset, ? AS schema, ?::VARCHAR AS time_column, ?::VARCHAR AS granularity",
        [
            FORMAT_VERSION,
            header.segment_id,
            header.shard,
            header.dataset,
            schema_to_json(header.schema),
            header.time_column,
            header.granularity,
        ],
    )


def _log_of(path: Path) -> tuple[int, int]:
    """Inode and bytes of a segment's write-ahead log."""
    try:
        found = write_ahead_log(path).stat()
    except FileNotFoundError:  # the commit was folded in
        return _NO_LOG
    return found.st_ino, found.st_size


def building(path: Path) -> Path:
    return path.with_suffix(".building")

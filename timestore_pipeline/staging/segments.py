"""Segment files: DuckDB databases that hold staged rows, written once, without keys or indexes.

A segment is built under a temporary name and renamed when all of it is durable, so a file under its final name is
whole. From then on it is only read, by any number of processes, and finally unlinked.

Tables: `rows` holds the dataset's columns, `__timestore_batch` (the batch a row belongs to) and `__timestore_commit`.
One more row, of batch -1, has a JSON array in `__timestore_commit` that describes the batches; `segment` holds one row
that says what the file is. So a file describes itself when there is no ledger. Rows that do not add up to what the
description says are damage, for the next flush to examine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from timestore_pipeline.errors import DiskFull, InvalidData, RetryLater, TimestoreError, UnreadableSegment
from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.model.schema_json import schema_from_json, schema_to_json
from timestore_pipeline.model.sql_types import duckdb_type, literal, quote
from timestore_pipeline.staging.engine import EnginePool
from timestore_pipeline.staging.group_rows import BATCH_COLUMN, COMMIT_COLUMN, group_rows
from timestore_pipeline.staging.system_errors import interruptions, system_error
from timestore_pipeline.system import clock
from timestore_pipeline.system.durable import keep_private, make_folder, sync

FORMAT_VERSION = 2

# DuckDB's default of 256 kB makes the smallest file 540 kB; at a thousand datasets that is the guardrail itself.
BLOCK_SIZE = 16384

# Of segments whose columns fill them: a vector of 2,048 numbers does not fit twice into the small ones, so these make a
# file half as large again, and slower to read. A reader holds a block of every column.
_LARGE_BLOCK_SIZE = 65_536
_LARGE_BLOCKS = 16  # at least, in a column

_HELD = ("Could not set lock", "Unique file handle conflict")  # by another process, or by another thread of this one
_GIVEN_UP = ("fsync failed", "database has been invalidated")


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The file's own description."""

    segment_id: str
    shard: str
    dataset: str
    schema: pa.Schema  # canonical columns, fixed for the file's life
    time_column: str | None = None  # None = the dataset has none, or its layout is open
    granularity: str | None = None  # None = the layout is open


def write_segment(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    header: SegmentHeader,
    batches: Sequence[tuple[StagedBatch, pa.Table]],
) -> None:
    """Make the file that holds these batches, each at its sequence; whole and durable on return.

    Raises `InvalidData` for rows that DuckDB refuses, `DiskFull` or another `RetryLater`; then there is no file.
    """
    temporary = building(path)
    try:
        with translated(path, header.dataset), refused_rows_named(header.dataset):
            make_folder(path.parent, private=True)
            size = _block_size(header, batches)
            connection.execute(f"ATTACH {literal(str(temporary))} AS building (BLOCK_SIZE {size})")
            keep_private(temporary)
            _create_tables(connection, header)
            rows = group_rows(batches)  # noqa: F841  # DuckDB reads it by its name
            connection.execute("INSERT INTO building.rows BY NAME SELECT * FROM rows")
            connection.execute("DETACH building")
            sync(temporary)
            temporary.rename(path)
            sync(path.parent)
    except BaseException:
        remove(path)
        raise


def attach_sealed(connection: duckdb.DuckDBPyConnection, path: Path, alias: str, dataset: str) -> None:
    """Attach a sealed segment for reading; raises `UnreadableSegment`."""
    with translated(path, dataset):
        if not path.exists():
            raise UnreadableSegment(f"segment {path} is missing", dataset=dataset, hint="look for it in backups")
        connection.execute(f"ATTACH {literal(str(path))} AS {quote(alias)} (READ_ONLY)")


def remove(path: Path) -> None:
    """Unlink a segment that is not needed any more, or what is left of making it; doing it twice is fine."""
    path.unlink(missing_ok=True)
    temporary = building(path)
    temporary.with_name(f"{temporary.name}.wal").unlink(missing_ok=True)  # DuckDB's, while it writes
    temporary.unlink(missing_ok=True)


@contextmanager
def translated(path: Path, dataset: str) -> Iterator[None]:
    """DuckDB's and the system's errors as typed ones that name the file."""
    try:
        with interruptions():
            yield
    except (duckdb.Error, OSError) as error:
        raise _translate(path, dataset, error) from error


@contextmanager
def refused_rows_named(dataset: str) -> Iterator[None]:
    """Rows that Arrow can hold and DuckDB cannot, such as a map with a key twice, are the producer's to correct."""
    try:
        yield
    except (duckdb.DataError, duckdb.InvalidInputException, duckdb.ConstraintException) as error:
        raise InvalidData(f"DuckDB refuses the rows: {error}", dataset=dataset, hint="correct the rows") from error


def _translate(path: Path, dataset: str, error: Exception) -> TimestoreError:
    message = str(error)
    if any(sign in message for sign in _HELD):
        return RetryLater(f"{path} is held by a process", dataset=dataset, hint="its owner is alive; try again")
    refused = system_error(error, str(path), dataset)
    if not isinstance(refused, DiskFull) and any(sign in message for sign in _GIVEN_UP):
        hint = "try again; the kernel's log has the disk's error"
        return RetryLater(f"{path} could not be flushed to disk: {message}", dataset=dataset, hint=hint)
    if refused is not None:
        return refused
    # Whatever else: DuckDB reports a damaged file under half a dozen classes, the base class among them.
    hint = "the file is kept; copy it away before you try to repair it"
    return UnreadableSegment(f"segment {path} cannot be used: {message}", dataset=dataset, hint=hint)


def _block_size(header: SegmentHeader, batches: Sequence[tuple[StagedBatch, pa.Table]]) -> int:
    staged = sum(batch.bytes for batch, _ in batches)
    return _LARGE_BLOCK_SIZE if staged >= _LARGE_BLOCK_SIZE * _LARGE_BLOCKS * len(header.schema) else BLOCK_SIZE


def _create_tables(connection: duckdb.DuckDBPyConnection, header: SegmentHeader) -> None:
    create_rows_table(connection, "building", header.schema)
    connection.execute(
        "CREATE TABLE building.segment AS SELECT ? AS format_version, ? AS segment_id, ? AS shard,"
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


def create_rows_table(connection: duckdb.DuckDBPyConnection, database: str, schema: pa.Schema) -> None:
    """The table `rows` in an attached database. schema: canonical columns."""
    columns = ", ".join(f"{quote(field.name)} {duckdb_type(field.type)}" for field in schema)
    table = f"{quote(database)}.rows"
    connection.execute(f"CREATE TABLE {table} ({BATCH_COLUMN} INTEGER, {COMMIT_COLUMN} VARCHAR, {columns})")


def building(path: Path) -> Path:
    return path.with_suffix(".building")


@dataclass(frozen=True, slots=True)
class SegmentContents:
    """A segment as its file describes it."""

    header: SegmentHeader
    batches: Sequence[StagedBatch]  # as described, in order, whether or not all their rows are there


def read_contents(path: Path, dataset: str, engines: EnginePool) -> SegmentContents:
    """Read header and batches; log and file stay as they are.

    Raises `UnreadableSegment`, also for a file that describes itself as another one, and `RetryLater` while a process
    holds it.
    """
    with engines.lend() as connection:
        attach_sealed(connection, path, "found", dataset)
        with translated(path, dataset):
            header = _header(connection, path, dataset)
            described = connection.execute(
                f"SELECT {COMMIT_COLUMN} FROM found.rows WHERE {COMMIT_COLUMN} IS NOT NULL"
            ).fetchall()
    batches = sorted(_described(path, dataset, described), key=lambda batch: batch.sequence)
    return SegmentContents(header, batches)


def _header(connection: duckdb.DuckDBPyConnection, path: Path, dataset: str) -> SegmentHeader:
    cursor = connection.execute("SELECT * FROM found.segment")
    names = [column[0] for column in cursor.description or []]
    found: dict[str, Any] = dict(zip(names, cursor.fetchone() or (), strict=False))
    if (found.get("segment_id"), found.get("dataset")) != (path.stem, dataset):
        raise _refused(path, dataset, f"says it is {found.get('segment_id')!r} of dataset {found.get('dataset')!r}")
    schema = schema_from_json(found["schema"])
    layout = found.get("time_column"), found.get("granularity")
    return SegmentHeader(found["segment_id"], found["shard"], found["dataset"], schema, *layout)


def _described(path: Path, dataset: str, rows: list[tuple[str]]) -> Iterator[StagedBatch]:
    try:
        for (text,) in rows:
            for described in json.loads(text):
                yield StagedBatch(
                    batch_id=described["batch_id"],
                    sequence=described["sequence"],
                    rows=described["rows"],
                    bytes=described["bytes"],
                    staged_at=clock.from_micros(described["staged_at"]),
                    idempotency_key=described["idempotency_key"],
                )
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(path, dataset, f"holds a description that cannot be read: {error}") from error


def _refused(path: Path, dataset: str, why: str) -> UnreadableSegment:
    return UnreadableSegment(
        f"segment {path} {why}", dataset=dataset, hint="the file is kept; was it renamed, or copied over another one?"
    )

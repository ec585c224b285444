"""From claimed batches in sealed segments to durable Parquet files, one per partition, in time order.

Memory is bounded by DuckDB's limit, not by the backlog: sorts spill to the spool. Nothing here is visible to a reader
of the lake; a failure removes what was written so far, a crash leaves files that no commit names.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from timestore_pipeline.errors import Corrupted, DiskFull, RetryLater, TimestoreError
from timestore_pipeline.flush.settle import ensure_table, partitioning_of
from timestore_pipeline.lake.faults import is_disk_full
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.parquet import ParquetOptions
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.columns import duckdb_type, quote
from timestore_pipeline.model.commit import ranges_of
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.model.lake import ExportedFile, PartitionKey
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.ledger.datasets import DatasetRecord
from timestore_pipeline.staging.ledger.exports import BatchShare
from timestore_pipeline.staging.segments import BATCH_COLUMN, attach_sealed
from timestore_pipeline.staging.system_errors import disk_failing, interruptions, system_error

_SEGMENT_COLUMN = "__timestore_segment"

Place = tuple[str, int]  # segment id and sequence: where a batch's rows lie; its id may tell where they were first


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How files are written; `memory_mb` bounds DuckDB's buffers during one export."""

    parquet: ParquetOptions = field(default_factory=ParquetOptions)
    memory_mb: int = 512


def export_claim(area: StagingArea, lake: Lake, ref: FlushRef, options: ExportOptions) -> Sequence[ExportedFile]:
    """Write the claim's files and record them, with the batches each holds, in the ledger.

    Raises `Fenced` when the claim is over, `Corrupted` when a segment does not hold what was promised, `DiskFull`,
    `RetryLater`.
    """
    partitioning = ensure_table(lake.table(ref.dataset), area.ledger.datasets.get(ref.dataset))
    ids = area.ledger.batches.of_flush(ref)
    with _spill(area, ref) as spill:
        exported = _export(area, lake, ref, options, _Selection(partitioning, ids, spill))
    positions = {file.partition: position for position, file in enumerate(exported.files)}
    provenance = [BatchShare(ids[share.place], positions[share.key], share.rows) for share in exported.shares]
    _record(area, lake.table(ref.dataset), ref, exported.files, provenance)
    return exported.files


def try_export(area: StagingArea, ref: FlushRef, options: ExportOptions, some: Mapping[Place, str]) -> None:
    """Export some of the claim's batches into the spool and drop the files: raises what a real export of them would."""
    record = area.ledger.datasets.get(ref.dataset)
    with _spill(area, ref) as spill:
        _export(area, Lake(str(spill / "trial")), ref, options, _Selection(partitioning_of(record), some, spill))


@dataclass(frozen=True, slots=True)
class _Selection:
    """What one export takes, and where it may spill."""

    partitioning: Partitioning
    batches: Mapping[Place, str]
    spill: Path

    def segments(self) -> dict[str, list[int]]:
        """Segment id -> sequences, both in order."""
        found: dict[str, list[int]] = {}
        for segment_id, sequence in sorted(self.batches):
            found.setdefault(segment_id, []).append(sequence)
        return found


@dataclass(frozen=True, slots=True)
class _Exported:
    files: Sequence[ExportedFile]
    shares: Sequence[_Share]


def _export(area: StagingArea, lake: Lake, ref: FlushRef, options: ExportOptions, selection: _Selection) -> _Exported:
    record = area.ledger.datasets.get(ref.dataset)
    with _engine(ref, options, selection.spill) as connection:
        _stage_view(connection, area, record, selection.segments())
        shares = _shares(connection, selection.partitioning)
        _check_promises(area, ref, selection.batches, shares)
        export = _Export(connection, lake, area.shard, ref, record, selection.partitioning, options.parquet)
        return _Exported(_write_all(export, _rows_per_partition(shares)), shares)


def _record(
    area: StagingArea, table: LakeTable, ref: FlushRef, files: Sequence[ExportedFile], shares: Sequence[BatchShare]
) -> None:
    """Refused, nothing will ever name the files: the claim was settled meanwhile, or the ledger is full."""
    try:
        area.ledger.flushes.record_export(ref, files, shares, area.identity.process_id)
    except BaseException:
        with suppress(TimestoreError, OSError):
            recorded = {file.path for file in area.ledger.flushes.files(ref)}
            table.discard([file for file in files if file.path not in recorded])
        raise


@dataclass(frozen=True, slots=True)
class _Export:
    connection: duckdb.DuckDBPyConnection
    lake: Lake
    shard: str
    ref: FlushRef
    record: DatasetRecord
    partitioning: Partitioning
    parquet: ParquetOptions

    @property
    def table(self) -> LakeTable:
        return self.lake.table(self.ref.dataset)

    def write(self, key: PartitionKey) -> ExportedFile:
        assert self.record.schema is not None, "a claimed dataset has a schema"
        columns = ", ".join(quote(name) for name in self.record.schema.names)
        select = f"SELECT {columns} FROM staged WHERE {self.partitioning.predicate(key)} ORDER BY {self._order()}"
        return self.table.write(
            self.connection,
            select,
            key,
            shard=self.shard,
            epoch=self.ref.epoch,
            time_column=self.record.time_column,
            options=self.parquet,
        )

    def _order(self) -> str:
        """By time; rows of one instant in the order in which they were staged."""
        arrival = [_SEGMENT_COLUMN, BATCH_COLUMN]
        return ", ".join([quote(self.record.time_column), *arrival] if self.record.time_column else arrival)


def _write_all(export: _Export, partitions: Mapping[PartitionKey, int]) -> list[ExportedFile]:
    """One file per partition, which must get the rows counted for it; on a full disk no half export may stay."""
    files: list[ExportedFile] = []
    try:
        for key, rows in partitions.items():
            files.append(export.write(key))
            _check_file(export.ref, files[-1], rows)
    except BaseException:
        with suppress(TimestoreError, OSError):
            export.table.discard(files)
        raise
    return files


def _check_file(ref: FlushRef, file: ExportedFile, rows: int) -> None:
    if file.rows != rows:
        raise Corrupted(
            f"flush {ref.epoch} of dataset {ref.dataset!r}: partition {file.partition.value} has {rows} rows,"
            f" {file.rows} were exported",
            dataset=ref.dataset,
            hint="this is a bug: keep the staging directory and report it; the batches stay pending",
        )


@dataclass(frozen=True, slots=True)
class _Share:
    """Rows of one batch in one partition."""

    segment_id: str
    sequence: int
    key: PartitionKey
    rows: int

    @property
    def place(self) -> Place:
        return self.segment_id, self.sequence


@contextmanager
def _spill(area: StagingArea, ref: FlushRef) -> Iterator[Path]:
    spill = _make_spill(area.directory.spool, ref)
    try:
        yield spill
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _make_spill(spool: Path, ref: FlushRef) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=f"{ref.dataset}-{ref.epoch}-", dir=spool))
    except OSError as error:
        if is_disk_full(error):
            raise _spool_full(ref) from error
        hint = "check the folder's owner and mode; the kernel's log says what the disk had"
        raise RetryLater(f"the spool {spool} cannot be used: {error}", dataset=ref.dataset, hint=hint) from error


def _spool_full(ref: FlushRef) -> DiskFull:
    return DiskFull(
        f"no space left in the spool for flush {ref.epoch} of {ref.dataset!r}",
        dataset=ref.dataset,
        hint="make room in the staging directory; its batches are pending again and the next flush takes them",
    )


@contextmanager
def _engine(ref: FlushRef, options: ExportOptions, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_engine(options.memory_mb, spill) as connection, _translated(ref):
        yield connection


def _stage_view(
    connection: duckdb.DuckDBPyConnection,
    area: StagingArea,
    record: DatasetRecord,
    claimed: Mapping[str, Sequence[int]],
) -> None:
    """`staged`: exactly the claimed batches' rows, in the dataset's columns, over all segments."""
    for segment_id in claimed:
        attach_sealed(connection, area.directory.segment(record.name, segment_id), segment_id, record.name)
    sources = " UNION ALL BY NAME ".join([_no_rows(record), *(_rows_of(*part) for part in claimed.items())])
    connection.execute(f"CREATE TEMP VIEW staged AS SELECT {_casts(record)} FROM ({sources})")


def _casts(record: DatasetRecord) -> str:
    """The dataset's types, whatever an older segment holds."""
    assert record.schema is not None, "a claimed dataset has a schema"
    columns = [
        f"CAST({quote(field.name)} AS {duckdb_type(field.type)}) AS {quote(field.name)}" for field in record.schema
    ]
    return ", ".join([_SEGMENT_COLUMN, BATCH_COLUMN, *columns])


def _no_rows(record: DatasetRecord) -> str:
    """Names every column, so that one which no segment has yet is NULL instead of unknown."""
    assert record.schema is not None, "a claimed dataset has a schema"
    columns = ", ".join(f"NULL::{duckdb_type(field.type)} AS {quote(field.name)}" for field in record.schema)
    return f"(SELECT NULL::VARCHAR AS {_SEGMENT_COLUMN}, NULL::INTEGER AS {BATCH_COLUMN}, {columns} WHERE false)"


def _rows_of(segment_id: str, sequences: Sequence[int]) -> str:
    """The claimed batches' rows of one segment.

    By ranges, not by a join with the claim: 250 joins at once would take half a gigabyte, however few the rows.
    """
    ranges = " OR ".join(f"{BATCH_COLUMN} BETWEEN {first} AND {last}" for first, last in ranges_of(sequences))
    return f"(SELECT '{segment_id}' AS {_SEGMENT_COLUMN}, * FROM {quote(segment_id)}.rows WHERE {ranges})"


def _shares(connection: duckdb.DuckDBPyConnection, partitioning: Partitioning) -> list[_Share]:
    """Every (batch, partition) with its rows, partitions in time order."""
    rows = connection.execute(
        f"SELECT {_SEGMENT_COLUMN}, {BATCH_COLUMN}, {partitioning.value_sql()} AS partition, count(*)"
        " FROM staged GROUP BY ALL ORDER BY partition NULLS FIRST, 1, 2"
    ).fetchall()
    return [_Share(segment_id, sequence, partitioning.key(value), count) for segment_id, sequence, value, count in rows]


def _rows_per_partition(shares: Sequence[_Share]) -> dict[PartitionKey, int]:
    rows: dict[PartitionKey, int] = {}
    for share in shares:
        rows[share.key] = rows.get(share.key, 0) + share.rows
    return rows


def _check_promises(area: StagingArea, ref: FlushRef, batches: Mapping[Place, str], shares: Sequence[_Share]) -> None:
    """A segment that lost rows must never turn into a flush that looks complete."""
    found: dict[Place, int] = {}
    for share in shares:
        found[share.place] = found.get(share.place, 0) + share.rows
    promised = area.ledger.batches.rows_of_flush(ref)
    for place, identity in batches.items():
        if found.get(place, 0) != promised[identity]:
            raise Corrupted(
                f"batch {identity} of dataset {ref.dataset!r} was acknowledged with {promised[identity]} rows,"
                f" its segment holds {found.get(place, 0)}",
                dataset=ref.dataset,
                hint="keep the segment file; the batch stays pending until it is repaired",
            )


@contextmanager
def _translated(ref: FlushRef) -> Iterator[None]:
    """DuckDB's errors as typed ones; everything else passes.

    A file that could not be read or written is never a row's fault: `DiskFailing`, and the files are examined.
    """
    what = f"flush {ref.epoch} of {ref.dataset!r}"
    try:
        with interruptions():
            yield
    except duckdb.OutOfMemoryException as error:
        if "max_temp_directory_size" in str(error):  # nine tenths of what was free when the export began
            raise _spool_full(ref) from error
        raise RetryLater(
            f"{what} needs more memory: {str(error).splitlines()[0]}",
            dataset=ref.dataset,
            hint="raise TIMESTORE_EXPORT_MEMORY_MB: whatever is spilled, a sort holds 122,880 rows in memory",
        ) from error
    except duckdb.Error as error:
        if (refused := system_error(error, what, ref.dataset)) is not None:
            raise refused from error
        if isinstance(error, duckdb.IOException):
            raise disk_failing(error, what, ref.dataset) from error
        raise TimestoreError(f"{what}: {error}", dataset=ref.dataset) from error

"""From claimed batches in segments and journals to durable Parquet files, one per partition, in order.

Memory is bounded by DuckDB's limit, not by the backlog: sorts spill to the spool. Nothing here is visible to a reader
of the lake; a failure removes what was written so far, a crash leaves files that no commit names.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from timestore_pipeline.errors import Corrupted, TimestoreError
from timestore_pipeline.flush.attach import Place, attach_sources
from timestore_pipeline.flush.export_engine import Work, export_engine, spill_folder
from timestore_pipeline.flush.retyped_columns import LeewayOf
from timestore_pipeline.flush.schema_sync import fit_table
from timestore_pipeline.flush.settle import partitioning_of
from timestore_pipeline.flush.shares import Share, check_promises, count_shares, rows_per_partition, runs
from timestore_pipeline.flush.staged_view import SOURCE_COLUMN, create_staged_view, gather_staged
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.model.lake import ExportedFile, PartitionKey
from timestore_pipeline.model.metadata_sections import LEAST_ROW_GROUP, FlushOverrides
from timestore_pipeline.model.sql_types import quote
from timestore_pipeline.model.thresholds import ParquetOptions
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.staging.ledger.exports import BatchShare
from timestore_pipeline.system import clock
from timestore_pipeline.system.legible import LogEvent

_log = logging.getLogger(__name__)

TELL_EVERY = 10.0  # seconds between two lines about how far an export has got


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How files are written; `memory_mb` bounds DuckDB's buffers during one export."""

    parquet: ParquetOptions = field(default_factory=ParquetOptions)
    memory_mb: int = 512
    sort_by: tuple[str, ...] = ()  # columns before time; none that the dataset lacks

    def overridden(self, said: FlushOverrides) -> ExportOptions:
        """These options with what a dataset's metadata say about its files."""
        return ExportOptions(self.parquet.overridden(said), self.memory_mb, said.sort_by or self.sort_by)

    @property
    def sortable_bytes(self) -> int:
        """Staged data that fits for certain, measured for rows of 100 B to 30 kB.

        With more of rows of 1 kB, DuckDB may run out of its limit, however much it can spill.
        """
        return self.memory_mb * 3 * 2**20 // 8

    def can_hold(self, claimed: Volume) -> bool:
        """Whether all of it may be held beside a sort of a part of it."""
        return claimed.bytes <= self.memory_mb * 2**20 // 8

    def fitting(self, claimed: Volume) -> ParquetOptions:
        """Row groups that fit."""
        most = max(self.rows_at_once(claimed) // LEAST_ROW_GROUP * LEAST_ROW_GROUP, LEAST_ROW_GROUP)
        return replace(self.parquet, row_group_size=min(self.parquet.row_group_size, most))

    def rows_at_once(self, claimed: Volume) -> int:
        """A sixteenth of the memory: DuckDB holds what it writes as a whole, and cannot spill it."""
        return self.memory_mb * 2**20 // 16 * claimed.rows // max(claimed.bytes, 1)


def export_claim(area: StagingArea, lake: Lake, ref: FlushRef, options: ExportOptions) -> Sequence[ExportedFile]:
    """Write the claim's files and record them, with the batches each holds, in the ledger.

    Raises `Fenced` when the claim has ended, `Corrupted` when a file does not hold what was promised, `RowsUnfit`,
    `DiskFull`, `RetryLater`, and what `fit_table` raises.
    """
    record, partitioning = fit_table(area, lake.table(ref.dataset), ref.dataset)
    ids = area.ledger.batches.of_flush(ref)
    with spill_folder(area, Work.of_flush(ref)) as spill:
        leeway = lake.table(ref.dataset).leeway
        exported = _export(area, lake, ref, options, _Selection(record, partitioning, leeway, ids, spill))
    positions = {file.partition: position for position, file in enumerate(exported.files)}
    provenance = [BatchShare(ids[share.place], positions[share.key], share.rows) for share in exported.shares]
    _record(area, lake.table(ref.dataset), ref, exported.files, provenance)
    return exported.files


def try_export(area: StagingArea, lake: Lake, ref: FlushRef, options: ExportOptions, some: Mapping[Place, str]) -> None:
    """Export some of the claim's batches into the spool and drop the files: raises what a real export of them would."""
    record = area.ledger.datasets.get(ref.dataset)
    leeway = lake.table(ref.dataset).leeway
    with spill_folder(area, Work.of_flush(ref)) as spill:
        selection = _Selection(record, partitioning_of(record), leeway, some, spill)
        _export(area, Lake(str(spill / "trial")), ref, options, selection)


@dataclass(frozen=True, slots=True)
class _Selection:
    """What one export takes, and where it may spill.

    The record is the one that the table was made to fit: a column that a producer adds meanwhile is the next flush's.
    """

    record: DatasetRecord
    partitioning: Partitioning
    leeway: LeewayOf
    batches: Mapping[Place, str]  # oldest first
    spill: Path


@dataclass(frozen=True, slots=True)
class _Exported:
    files: Sequence[ExportedFile]
    shares: Sequence[Share]


def _export(area: StagingArea, lake: Lake, ref: FlushRef, options: ExportOptions, selection: _Selection) -> _Exported:
    record = selection.record
    with export_engine(area, Work.of_flush(ref), options.memory_mb, selection.spill) as connection:
        places = area.ledger.journals.of_flush(ref)
        sources = attach_sources(connection, area, record.name, selection.batches, places)
        create_staged_view(connection, area, record, sources, selection.leeway)
        shares = count_shares(connection, selection.partitioning, sources)
        check_promises(area, ref, selection.batches, shares)
        claimed, partitions = area.ledger.flushes.get(ref).volume, rows_per_partition(shares)
        if len(sources) > 1 and len(partitions) > 1 and options.can_hold(claimed):
            gather_staged(connection)
        how = options.fitting(claimed), options.rows_at_once(claimed), options.sort_by
        export = _Export(connection, lake, area.shard, ref, record, selection.partitioning, *how)
        return _Exported(_write_all(export, partitions), shares)


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
    rows_at_once: int  # of many partitions
    sort_by: Sequence[str]

    @property
    def table(self) -> LakeTable:
        return self.lake.table(self.ref.dataset)

    def write(self, key: PartitionKey, *, every_row: bool) -> ExportedFile:
        """every_row: all staged rows are known to lie in this partition, so none is asked."""
        chosen = "TRUE" if every_row else self.partitioning.predicate(key)
        return self.table.write(
            self.connection,
            f"SELECT {self._columns()} FROM staged WHERE {chosen} ORDER BY {self._order()}",
            key,
            shard=self.shard,
            epoch=self.ref.epoch,
            time_column=self.record.time_column,
            options=self.parquet,
        )

    def write_many(self, keys: Sequence[PartitionKey]) -> list[ExportedFile]:
        """Of partitions that follow each other in time: their rows are sorted once for all."""
        first = f"{self.partitioning.value_sql()}, " if self.sort_by else ""  # the order of time is that of partitions
        rows = f"{self.partitioning.range_predicate(keys[0], keys[-1])} ORDER BY {first}{self._order()}"
        found = self.connection.sql(f"SELECT {self._columns()} FROM staged WHERE {rows}").to_arrow_table()
        return self.table.write_many(
            self.connection,
            found.cast(self.record.schema),
            self.partitioning,
            shard=self.shard,
            epoch=self.ref.epoch,
            options=self.parquet,
        )

    def _columns(self) -> str:
        assert self.record.schema is not None, "a claimed dataset has a schema"
        return ", ".join(quote(name) for name in self.record.schema.names)

    def _order(self) -> str:
        """By the columns that are asked for, then by time, then in the order in which the rows were staged."""
        wanted = dict.fromkeys([*self.sort_by, *filter(None, [self.record.time_column])])
        return ", ".join([*map(quote, wanted), SOURCE_COLUMN, BATCH_COLUMN])


def _write_all(export: _Export, partitions: Mapping[PartitionKey, int]) -> list[ExportedFile]:
    """One file per partition, which must get the rows counted for it; on a full disk no half export may stay."""
    files: list[ExportedFile] = []
    last_line = clock.monotonic()
    try:
        for run in runs(partitions, export.rows_at_once):
            alone = len(partitions) == 1
            written = export.write_many(run) if len(run) > 1 else [export.write(run[0], every_row=alone)]
            files += written
            _check_files(export.ref, written, {key: partitions[key] for key in run})
            last_line = _log_progress(export.ref, files, len(partitions), last_line)
    except BaseException:
        with suppress(TimestoreError, OSError):
            export.table.discard(files)
        raise
    return files


def _log_progress(ref: FlushRef, files: Sequence[ExportedFile], of: int, last_line: float) -> float:
    """Log a line every `TELL_EVERY` seconds. last_line, and the result: monotonic seconds of the last one."""
    now = clock.monotonic()
    if len(files) == of or now - last_line < TELL_EVERY:
        return last_line
    rows = sum(file.rows for file in files)
    _log.info(
        "%s", LogEvent("flush exporting", dataset=ref.dataset, epoch=ref.epoch, files=len(files), of=of, rows=rows)
    )
    return now


def _check_files(ref: FlushRef, files: Sequence[ExportedFile], rows: Mapping[PartitionKey, int]) -> None:
    """rows: counted for each partition."""
    exported = {file.partition: file.rows for file in files}
    for key, count in rows.items():
        if exported.get(key) != count:
            raise Corrupted(
                f"flush {ref.epoch} of dataset {ref.dataset!r}: partition {key.value} has {count} rows,"
                f" {exported.get(key, 0)} were exported",
                dataset=ref.dataset,
                hint="this is a bug: keep the staging directory and report it; the batches stay pending",
            )

"""Maintenance of one Delta table: many files become one, in a commit that changes no data.

A generation is to a compaction what an epoch is to a flush (decision 0003): a number in the log, per shard, that only
grows. Files are written under it, one commit carries it, and once the log has passed it no file written under it can
be committed. So leftovers of a compaction that died are proven to be unreferenced before they are deleted, and an
outcome that was lost is read from the log. Decision 0020.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import Schema
from pyarrow import fs

from timestore_pipeline.errors import Fenced, RetryLater
from timestore_pipeline.lake import faults, layout
from timestore_pipeline.lake.actions import partition_of
from timestore_pipeline.lake.epochs import EpochCommit, settle
from timestore_pipeline.lake.features import check_writable
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.layout import Origins
from timestore_pipeline.lake.parquet import read_note, write_parquet
from timestore_pipeline.lake.replacing import (
    Generation,
    OwnFile,
    Replacement,
    TypeChange,
    change_of_type,
    check_live,
    compaction,
)
from timestore_pipeline.lake.retention import FolderFacts, LogMaintenance, folder_facts
from timestore_pipeline.lake.snapshot import check_features
from timestore_pipeline.lake.stats import delta_stats, time_bounds
from timestore_pipeline.lake.store import FileStore
from timestore_pipeline.model.lake import EpochOutcome, ExportedFile, PartitionKey, compaction_app_id
from timestore_pipeline.model.thresholds import ParquetOptions
from timestore_pipeline.system.durable import is_disk_full

_CHUNK = 8 << 20  # bytes of a download held in memory


@dataclass(frozen=True, slots=True)
class TableFiles:
    """One version of a table, as far as maintenance may touch it."""

    version: int
    files: Sequence[OwnFile]
    foreign: int  # live files that other tools wrote; maintenance does not touch them
    schema: pa.Schema  # of the rows, without the partition column
    columns: Schema  # of the table
    time_column: str | None  # by which its rows are in order


class TableMaintenance:
    """Maintenance of one table, on behalf of one shard. Any number may run at once."""

    def __init__(self, uri: str, handle: TableHandle, store: FileStore, root: fs.FileSystem, shard: str) -> None:
        self.uri = uri
        self.shard = shard
        self._handle = handle
        self._store = store
        self._root = root
        self._app_id = compaction_app_id(shard)
        self.log = LogMaintenance(handle, shard)

    def files(self, time_column: str | None) -> TableFiles | None:
        """The files of the newest version; None when there is no table.

        time_column: None = the first column with a time.
        Raise `Conflict` when a table feature changes which rows the files stand for.
        """
        table = self._handle.open()
        if table is None:
            return None
        with faults.reading(self.uri):
            check_features(table)
            adds = pa.table(table.get_add_actions()).to_pylist()
            partition = set(table.metadata().partition_columns)  # their values are not in the files
            columns = pa.schema(table.schema().to_arrow())
            schema = pa.schema([column for column in columns if column.name not in partition])
            time_column = time_column or layout.first_time_column(schema)
            ours = [file for add in adds if (file := _own_file(add, time_column)) is not None]
            foreign = len(adds) - len(ours)
            return TableFiles(table.version(), ours, foreign, schema, table.schema(), time_column)

    def next_generation(self) -> int:
        """One above this shard's newest generation in the log."""
        with faults.reading(self.uri):
            return int(self._handle.existing().transaction_version(self._app_id) or 0) + 1

    def origins(self, files: Sequence[OwnFile]) -> Origins:
        """Origins of the rows of all files; raise `Corrupted` when a footer lacks them or does not add up."""
        return Origins.merged(file_origins(self._root, file.path, file.rows) for file in files)

    @property
    def folder(self) -> Path | None:
        """The table's folder; None = in a bucket."""
        return self._store.root

    @contextmanager
    def local(self, files: Sequence[str], spool: Path) -> Iterator[list[Path]]:
        """The files as local ones; those of a bucket are copied to `spool` meanwhile. Raise `RetryLater`."""
        if self._store.root is not None:
            yield [self._store.root / file for file in files]
            return
        with TemporaryDirectory(dir=spool, prefix="maintain-") as folder:
            paths = [Path(folder) / f"{number}.parquet" for number in range(len(files))]
            for file, path in zip(files, paths, strict=True):
                self._download(file, path)
            yield paths

    def write(
        self,
        con: duckdb.DuckDBPyConnection,
        select_sql: str,
        partition: PartitionKey,
        generation: int,
        origins: Origins,
        time_column: str | None,
        options: ParquetOptions,
    ) -> ExportedFile:
        """One durable file that is not live yet; raise as `LakeTable.write` does."""
        path = layout.compacted_name(partition, self.shard, generation)
        written = write_parquet(con, select_sql, self._store, path, options, origins.to_note())
        statistics = delta_stats(written.rows, written.column_statistics, written.schema)
        earliest, latest = time_bounds(written.column_statistics, written.schema, time_column)
        return ExportedFile(path, written.rows, written.bytes, partition, statistics, earliest, latest)

    def check_live(self, files: Sequence[OwnFile]) -> None:
        """Raise `Conflict` when the newest version lacks one of the files."""
        check_live(self._handle, self._handle.existing(), {file.path for file in files})

    def check_writable(self) -> None:
        """Raise `UnsupportedTable` when the table has demands that these commits cannot satisfy."""
        with faults.reading(self.uri):
            check_writable(self._handle.existing())

    def replace(self, generation: int, swap: Replacement, claim: str, info: Mapping[str, Any]) -> int | None:
        """Replace the old files with the new one, in one commit; return its version.

        Raise `Conflict` (an old file is gone) or `Fenced` (the generation was taken): then no commit has the new file.
        `RetryLater`, `DiskFull`: not in the log, `burn` before the file is deleted. `OutcomeUnknown`: keep it.
        """
        taken = Generation(self._app_id, generation, claim)
        return self._settled(compaction(self._handle, taken, swap, info))

    def retype(
        self,
        generation: int,
        change: TypeChange,
        swaps: Sequence[Replacement],
        claim: str,
        info: Mapping[str, Any],
    ) -> int | None:
        """Replace every file of the table and give a column another type, in one commit; return its version.

        Raise as `replace` does, and `Conflict` when the table has other columns or files than `change` and `swaps`.
        """
        self._handle.require_feature([change.field])
        taken = Generation(self._app_id, generation, claim)
        return self._settled(change_of_type(self._handle, taken, change, swaps, info))

    def _settled(self, commit: EpochCommit) -> int | None:
        settled = settle(self._handle, commit)
        if settled.outcome is EpochOutcome.BURNT:
            hint = "nothing was changed; does another staging directory have the same TIMESTORE_SHARD?"
            message = f"generation {commit.epoch} of {commit.app_id} was taken or burnt by another process"
            raise Fenced(message, hint=hint)
        return settled.version

    def burn(self, generation: int, reason: str, claim: str | None, shard: str | None = None) -> EpochOutcome:
        """Make sure that the generation can no longer be committed; PUBLISHED = it was committed for this claim.

        shard: the generation's shard; None = this one.
        """
        app_id = compaction_app_id(shard or self.shard)
        metadata = {"app_id": app_id, "epoch": generation, "outcome": "aborted", "reason": reason, "claim": claim}
        return settle(self._handle, EpochCommit(app_id, generation, burn=True, adds=(), metadata=metadata)).outcome

    def folder_facts(self, dataset: str) -> FolderFacts | None:
        """The files in the folder and their state in the log; None when there is no table."""
        return folder_facts(self._handle, self._root, dataset)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files that are proven to be unreferenced; raise `AccessDenied` or `RetryLater`."""
        for path in paths:
            try:
                self._store.delete(path)
            except OSError as error:
                raise faults.not_deleted(f"{self.uri}/{path}", error) from error

    def remove_abandoned(self, before: datetime) -> None:
        """Delete files that a crash left half-written before an instant; raise `AccessDenied` or `RetryLater`."""
        try:
            self._store.remove_abandoned(before)
        except OSError as error:
            raise faults.not_deleted(f"{self.uri}/_tmp-*", error) from error

    def _download(self, path: str, target: Path) -> None:
        try:
            fs.copy_files(path, str(target), self._root, fs.LocalFileSystem(), chunk_size=_CHUNK, use_threads=False)
        except OSError as error:
            if is_disk_full(error):
                raise faults.disk_full(f"a copy of {path} in the spool", error) from error
            raise RetryLater(f"{self.uri}/{path} could not be read: {error}") from error


def file_origins(root: fs.FileSystem, path: str, rows: int) -> Origins:
    """From the name of a flush's file, from the footer of a compacted one; none for a file of another tool.

    Raise `Corrupted` when the footer does not add up to the file's rows, `RetryLater` when it cannot be read.
    """
    if layout.compacted_by(path) is None:
        return Origins.of_flush_file(path, rows)
    try:
        note = read_note(root, path)
    except (OSError, pa.ArrowException) as error:
        raise RetryLater(f"the footer of {path} cannot be read: {error}") from error
    return Origins.from_note(note, path).checked(path, rows)


def _own_file(add: dict[str, Any], time_column: str | None) -> OwnFile | None:
    path = unquote(add["path"])
    if (layout.written_by(path) or layout.compacted_by(path)) is None or add["num_records"] is None:
        return None
    low = (add.get("min") or {}).get(time_column)
    return OwnFile(
        path, add["num_records"], add["size_bytes"], partition_of(add), "" if low is None else low.isoformat()
    )

"""Groups of files become one file each, proven to hold just the old rows: the part that compaction and retyping share.

    read -> write the new file -> prove that it holds just the old rows -> the caller's commit
               |                       |                                        |
               +-----------------------+----------------------------------------+--> the generation is burnt, the new
                                                                                     files are deleted

A crash before the commit leaves files that no commit names, under a generation that the next maintenance burns before
it deletes them. After the commit the work is complete: the old files stay for readers of older versions, until `vacuum`
deletes them.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.errors import Corrupted, DiskFull, InvalidData, OutcomeUnknown, TimestoreError
from timestore_pipeline.flush.export import ExportOptions
from timestore_pipeline.flush.export_engine import Work, export_engine, spill_folder
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.lake.replacing import Replacement
from timestore_pipeline.maintain.file_rows import FileRows, open_rows
from timestore_pipeline.maintain.grouping import FileGroup, memory_bytes
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.lake import EpochOutcome, ExportedFile
from timestore_pipeline.model.recast import Recast
from timestore_pipeline.staging.area import StagingArea

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Writes new files for groups of old ones, of one table."""

    area: StagingArea
    table: TableMaintenance
    dataset: str
    task: str  # for messages: "the compaction of 'weather'"
    schema: pa.Schema  # of the old rows
    time_column: str | None
    options: ExportOptions
    recasts: Mapping[str, Recast] = field(default_factory=dict)  # of the columns that change their type

    def write(self, group: FileGroup, generation: int, row_bytes: float | None) -> ExportedFile:
        """A new file with the group's rows, proven, that no commit names yet; an error leaves no file.

        Raise `Conflict` when another process changed the old files first, `InvalidData` for a value that does not fit
        its column's new type, `Corrupted` when the proof fails, `DiskFull`, `RetryLater`.
        """
        for folder in (self.area.directory.spool, *([self.table.folder] if self.table.folder else [])):
            twice = 2 * group.bytes  # for the new file, and for a sort's spill or a copy
            self._check_free(folder, twice, len(group.files))
        with self._conflicts_first(group), self.reading(group) as (rows, spill):
            for value in rows.unfit(1):
                message = f"{self.task}: {value.text} in row {value.row} of {group.files[value.file].path} does not fit"
                raise InvalidData(message, dataset=self.dataset, hint="nothing was changed")
            origins = self.table.origins(group.files)
            new = self.table.write(
                rows.connection,
                rows.select(),
                group.partition,
                generation,
                origins,
                self.time_column,
                self.options.fitting(_volume(group, row_bytes)),
            )
            self._prove(rows, group, new, spill)
        return new

    @contextmanager
    def reading(self, group: FileGroup) -> Iterator[tuple[FileRows, Path]]:
        """The group's rows, and a folder in the spool that is removed afterwards."""
        with (
            spill_folder(self.area, self._work) as spill,
            self.table.local([file.path for file in group.files], spill) as paths,
            export_engine(self.area, self._work, self.options.memory_mb, spill) as connection,
        ):
            yield (
                open_rows(
                    connection, group.files, paths, self.schema, self.time_column, self.recasts, self.options.sort_by
                ),
                spill,
            )

    @property
    def _work(self) -> Work:
        return Work(self.dataset, self.task, "maintain", "no file of the table was changed")

    @contextmanager
    def _conflicts_first(self, group: FileGroup) -> Iterator[None]:
        """After an error raise `Conflict` instead if another process has replaced, and deleted, a file meanwhile."""
        try:
            yield
        except TimestoreError:
            self.table.check_live(group.files)
            raise

    def _prove(self, rows: FileRows, group: FileGroup, new: ExportedFile, spill: Path) -> None:
        """Read the new file back and compare; the old rows are read again, not kept from the export."""
        try:
            self._compare(rows, group, new, spill)
        except BaseException:
            with suppress(TimestoreError):
                self.table.delete([new.path])  # no commit was attempted
            raise

    def _compare(self, rows: FileRows, group: FileGroup, new: ExportedFile, spill: Path) -> None:
        with self.table.local([new.path], spill) as paths:
            before, after = rows.digest(), rows.digest_of(paths)
        if before != after or after.rows != group.rows:
            raise Corrupted(
                f"partition {group.partition.value} of dataset {self.dataset!r}: {before.rows} rows were read,"
                f" {after.rows} were written, and they are not the same",
                dataset=self.dataset,
                hint="nothing was changed; check memory and disk, and report it if both are sound",
            )

    @contextmanager
    def burnt_on_error(self, generation: int, claim: str, new: Mapping[str, ExportedFile]) -> Iterator[None]:
        """A failed commit may still arrive, so its generation is burnt before the new files are deleted.

        new: by path; files written until the error.
        """
        try:
            yield
        except OutcomeUnknown:
            raise
        except BaseException as error:
            try:
                if self.table.burn(generation, str(error), claim) is not EpochOutcome.PUBLISHED:
                    self.table.delete(list(new))
                elif isinstance(error, Exception):
                    return  # the commit had arrived
            except TimestoreError as problem:
                text = "dataset %s: %d unreferenced files are left to the next maintenance: %s"
                _log.warning(text, self.dataset, len(new), problem)
            raise

    def check_room(self, groups: Sequence[FileGroup]) -> None:
        """Raise `DiskFull` unless the lake has room for new files of all the groups beside the old ones."""
        if self.table.folder is not None:
            files = sum(len(group.files) for group in groups)
            self._check_free(self.table.folder, sum(group.bytes for group in groups), files)

    def _check_free(self, folder: Path, needed: int, files: int) -> None:
        free = shutil.disk_usage(folder).free
        if free < needed:
            hint = "make room, for example with `timestore maintain`, or give it a smaller --target-file-mb"
            message = f"{free} bytes are free in {folder}, {self.task} needs {needed} for {files} files"
            raise DiskFull(message, dataset=self.dataset, hint=f"{hint}; nothing was changed")


def _volume(group: FileGroup, row_bytes: float | None) -> Volume:
    """In the export's units: rows, and bytes in memory."""
    return Volume(len(group.files), group.rows, int(sum(memory_bytes(file, row_bytes) for file in group.files)))


@dataclass(frozen=True, slots=True)
class Compactor:
    """Compacts the groups of one table, one after the other."""

    rewriter: Rewriter

    def run(self, group: FileGroup, row_bytes: float | None) -> ExportedFile:
        """Replace the group's files by one; return it.

        Raise `Conflict` or `Fenced` when another process changed the files first: nothing was changed. `Corrupted` when
        the proof fails, `DiskFull`, `RetryLater`; `OutcomeUnknown`: the next maintenance reads the outcome in the log.
        """
        table, dataset = self.rewriter.table, self.rewriter.dataset
        generation, claim = table.next_generation(), uuid.uuid4().hex
        new = self.rewriter.write(group, generation, row_bytes)
        with self.rewriter.burnt_on_error(generation, claim, {new.path: new}):
            info = {"maintainer": table.shard, "dataset": dataset, "rows": new.rows}
            table.replace(generation, Replacement(group.files, new), claim, info)
        return new

"""One group of small files becomes one, in this order, so that every crash is boring.

    read -> write the new file -> prove that it holds just the old rows -> one commit: old files out, new one in
               |                       |
               +-----------------------+--> the generation is burnt, the new file deleted

A crash before the commit leaves a file that no commit names, under a generation that the next maintenance burns before
it deletes the file. After the commit everything is done: the old files stay for readers of older versions, until
`vacuum` takes them away.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.errors import Corrupted, DiskFull, OutcomeUnknown, TimestoreError
from timestore_pipeline.flush.export import ExportOptions
from timestore_pipeline.flush.export_engine import Work, export_engine, spill_folder
from timestore_pipeline.lake.upkeep import Replacement, TableUpkeep
from timestore_pipeline.maintain.plan import Group, memory_bytes
from timestore_pipeline.maintain.rows import Rows, open_rows
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.lake import EpochOutcome, ExportedFile
from timestore_pipeline.staging.area import StagingArea

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compactor:
    """Compacts the groups of one table, one after the other."""

    area: StagingArea
    table: TableUpkeep
    dataset: str
    schema: pa.Schema
    time_column: str | None
    options: ExportOptions

    def run(self, group: Group, row_bytes: float | None) -> ExportedFile:
        """Replace the group's files by one; return it.

        Raise `Conflict` or `Fenced` when somebody else got at the files first: nothing was changed. `Corrupted` when
        the proof fails, `DiskFull`, `RetryLater`; `OutcomeUnknown`: the log does not say, the next maintenance asks.
        """
        self._check_space(group)
        generation, claim = self.table.next_generation(), uuid.uuid4().hex
        with spill_folder(self.area, self._work) as spill:
            with self._gives_way(group):
                new = self._written(group, generation, spill, row_bytes)
            with self._given_up_on_error(generation, claim, new):
                info = {"maintainer": self.area.shard, "dataset": self.dataset, "rows": new.rows}
                self.table.replace(generation, Replacement(group.files, new), claim, info)
        return new

    @property
    def _work(self) -> Work:
        remedy = "no file of the table was changed"
        return Work(self.dataset, f"the compaction of {self.dataset!r}", "maintain", remedy)

    @contextmanager
    def _gives_way(self, group: Group) -> Iterator[None]:
        """A file that cannot be read may be one that somebody else has replaced, and deleted, meanwhile."""
        try:
            yield
        except TimestoreError:
            self.table.check_live(group.files)
            raise

    def _written(self, group: Group, generation: int, spill: Path, row_bytes: float | None) -> ExportedFile:
        origins = self.table.origins(group.files)
        parquet = self.options.fitting(_volume(group, row_bytes))
        with (
            self.table.local([file.path for file in group.files], spill) as paths,
            export_engine(self.area, self._work, self.options.memory_mb, spill) as connection,
        ):
            rows = open_rows(connection, group.files, paths, self.schema, self.time_column)
            new = self.table.write(
                connection, rows.select(), group.partition, generation, origins, self.time_column, parquet
            )
            self._prove(rows, group, new, spill)
        return new

    def _prove(self, rows: Rows, group: Group, new: ExportedFile, spill: Path) -> None:
        """The new file is read back; the old rows are read once more, not remembered from the export."""
        try:
            self._compare(rows, group, new, spill)
        except BaseException:
            with suppress(TimestoreError):
                self.table.delete([new.path])  # no commit was tried
            raise

    def _compare(self, rows: Rows, group: Group, new: ExportedFile, spill: Path) -> None:
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
    def _given_up_on_error(self, generation: int, claim: str, new: ExportedFile) -> Iterator[None]:
        """A commit that failed may still arrive: only once its generation is burnt is the file nobody's."""
        try:
            yield
        except OutcomeUnknown:
            raise
        except BaseException as error:
            try:
                if self.table.burn(generation, str(error), claim) is not EpochOutcome.PUBLISHED:
                    self.table.delete([new.path])
                elif isinstance(error, Exception):
                    return  # it had arrived
            except TimestoreError as problem:
                _log.warning(
                    "dataset %s: %s stays behind for the next maintenance: %s", self.dataset, new.path, problem
                )
            raise

    def _check_space(self, group: Group) -> None:
        """Twice the files' size, in the lake and in the spool: the new file, and what a sort spills or a copy takes."""
        folders = [self.area.directory.spool, *([self.table.folder] if self.table.folder else [])]
        for folder in folders:
            free = shutil.disk_usage(folder).free
            if free < 2 * group.bytes:
                raise DiskFull(
                    f"{free} bytes are free in {folder}, compacting {len(group.files)} files needs {2 * group.bytes}",
                    dataset=self.dataset,
                    hint="make room, or run with a smaller --target-file-mb; nothing was changed",
                )


def _volume(group: Group, row_bytes: float | None) -> Volume:
    """As the export measures: rows, and bytes in memory."""
    return Volume(len(group.files), group.rows, int(sum(memory_bytes(file, row_bytes) for file in group.files)))

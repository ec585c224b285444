"""Maintenance of datasets: compact, vacuum, prune. Safe beside producers, flushes, readers and other maintenance.

Every step may be killed and run again. A failing step is reported and does not stop the others, neither those of the
same dataset nor those of other datasets.

One maintenance of a dataset runs at a time on this host: a lock that the kernel releases when its process ends. It
saves work and gives the operator a clear error. Correctness does not depend on it: conflicting maintenance from another
host, or on a filesystem without locks, is refused by the Delta log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from timestore_pipeline.errors import (
    AccessDenied,
    Conflict,
    Corrupted,
    MaintenanceInProgress,
    SchemaConflict,
    TimestoreError,
    UnknownDataset,
)
from timestore_pipeline.flush.export import ExportOptions
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.maintain import prune
from timestore_pipeline.maintain.grouping import CompactionLimits, FileGroup, plan
from timestore_pipeline.maintain.maintenance_report import DatasetUpkeep, count_compaction
from timestore_pipeline.maintain.rewrite import Compactor, Rewriter
from timestore_pipeline.model.batch import BatchState, Volume
from timestore_pipeline.model.dataset import chosen_datasets
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.system import clock
from timestore_pipeline.system.durable import lock, make_folder, open_private
from timestore_pipeline.system.legible import LogEvent

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]  # dataset, groups done, groups in all


@contextmanager
def maintaining(folder: Path, dataset: str) -> Iterator[None]:
    """Raise `MaintenanceInProgress` if another process holds the lock, `AccessDenied` if there can be no lock file."""
    try:
        make_folder(folder, private=True)
        descriptor = open_private(folder / f"{dataset}.lock")
    except OSError as error:
        hint = "run as the owner of the staging directory"
        raise AccessDenied(f"the system refuses {folder}: {error}", dataset=dataset, hint=hint) from error
    try:
        if not lock(descriptor):
            hint = "nothing to do: the other process does the work"
            raise MaintenanceInProgress(f"dataset {dataset!r} is being maintained", dataset=dataset, hint=hint)
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class MaintainOptions:
    """How datasets are maintained."""

    target_bytes: int  # of a compacted file
    min_files: int  # that are compacted together
    retention: timedelta  # of replaced files, from when they were replaced
    log_retention: timedelta  # of commits, and of single flushes in the ledger
    key_retention: timedelta  # of idempotency keys
    export: ExportOptions
    dry_run: bool = False

    @property
    def limits(self) -> CompactionLimits:
        return CompactionLimits(self.target_bytes, self.min_files, self.export.sortable_bytes)

    @property
    def history_retention(self) -> timedelta:
        """How long commits stay: replaced files are deleted first."""
        return max(self.retention, self.log_retention)

    def export_of(self, record: DatasetRecord | None) -> ExportOptions:
        """How the files of a dataset are written: as its flushes write them. None = only other shards flush it."""
        return self.export if record is None else self.export.overridden(record.metadata.staging.flush)


def datasets_to_maintain(area: StagingArea, lake: Lake, names: Sequence[str]) -> list[str]:
    """The named ones, or all of this shard's ledger; raise `UnknownDataset` for a name in neither ledger nor lake."""
    known = area.ledger.datasets.names()
    others = set(names) - set(known)
    return chosen_datasets(names, [*known, *lake.datasets()] if others else known)


def maintain(
    area: StagingArea, lake: Lake, datasets: Sequence[str], options: MaintainOptions, progress: Progress | None = None
) -> Iterator[DatasetUpkeep]:
    """One dataset after the other; errors are in the dataset's result."""
    for dataset in datasets:
        yield Maintenance(area, lake, dataset, options, progress or _no_progress).run()


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The maintenance of one dataset."""

    area: StagingArea
    lake: Lake
    dataset: str
    options: MaintainOptions
    progress: Progress

    def run(self) -> DatasetUpkeep:
        done = DatasetUpkeep(self.dataset)
        try:
            with maintaining(self.area.directory.root / "maintain", self.dataset):
                for step in (self._compact, self._vacuum, self._prune_log, self._prune_ledger):
                    self._attempt(step, done)
        except TimestoreError as error:
            done.errors.append(error)
        self._log(done)
        return done

    @property
    def _table(self) -> TableMaintenance:
        return self.lake.table(self.dataset).upkeep(self.area.shard)

    def _attempt(self, step: Callable[[DatasetUpkeep], None], done: DatasetUpkeep) -> None:
        try:
            step(done)
        except TimestoreError as error:
            if (error.code, error.hint) not in ((one.code, one.hint) for one in done.errors):
                done.errors.append(error)  # once: an unreachable lake fails every step

    def _compact(self, done: DatasetUpkeep) -> None:
        found = self._table.files(None if self._record is None else self._record.time_column)
        done.has_table = found is not None
        if found is None:
            return
        done.files_before = done.files_after = len(found.files) + found.foreign
        done.foreign_files = found.foreign
        memory = row_bytes(self.area, self.dataset)
        groups = plan(found.files, self.options.limits, memory)
        task = f"the compaction of {self.dataset!r}"
        export = self.options.export_of(self._record)
        compactor = Compactor(
            Rewriter(self.area, self._table, self.dataset, task, found.schema, found.time_column, export)
        )
        for number, group in enumerate(groups):
            self.progress(self.dataset, number, len(groups))
            self._compact_group(compactor, group, memory, done)
        self.progress(self.dataset, len(groups), len(groups))

    def _compact_group(self, compactor: Compactor, group: FileGroup, memory: float | None, done: DatasetUpkeep) -> None:
        began = clock.monotonic()
        written = group.bytes if self.options.dry_run else self._rewritten(compactor, group, memory, done)
        if not self.options.dry_run:
            count_compaction(self.area, self.dataset, group, written, clock.monotonic() - began)
        if written is None:
            return
        done.compactions += 1
        done.compacted_files += len(group.files)
        done.compacted_rows += group.rows
        done.compacted_bytes += group.bytes
        done.written_bytes += written
        done.files_after -= len(group.files) - 1

    def _rewritten(
        self, compactor: Compactor, group: FileGroup, memory: float | None, done: DatasetUpkeep
    ) -> int | None:
        """Bytes of the file in the group's place; None = the group is as it was."""
        try:
            return compactor.run(group, memory).bytes
        except (Corrupted, SchemaConflict) as error:
            done.errors.append(error)  # the other groups may be sound
        except Conflict as error:
            _log.info("dataset %s: a group of %d files is skipped: %s", self.dataset, len(group.files), error)
            done.gave_way += 1
        return None

    def _vacuum(self, done: DatasetUpkeep) -> None:
        files = prune.vacuum(self._table, self.dataset, self.options.retention, dry_run=self.options.dry_run)
        done.deleted = [file.path for file in files]
        done.deleted_bytes = sum(file.bytes for file in files)

    def _prune_log(self, done: DatasetUpkeep) -> None:
        if done.has_table:
            retention, dry_run = self.options.history_retention, self.options.dry_run
            trim = prune.prune_log(self.area, self._table, self.dataset, retention, dry_run=dry_run)
            done.log_commits, done.log_waits_for = trim.commits, trim.waiting_for

    def _prune_ledger(self, done: DatasetUpkeep) -> None:
        if not self.options.dry_run and self._record is not None:
            keys, history = self.options.key_retention, max(self.options.key_retention, self.options.history_retention)
            done.forgotten_batches, done.forgotten_statistics, done.folded_flushes = prune.prune_ledger(
                self.area, self.dataset, keys, history
            )

    @property
    def _record(self) -> DatasetRecord | None:
        """None = only other shards publish it."""
        try:
            return self.area.ledger.datasets.get(self.dataset)
        except UnknownDataset:
            return None

    def _log(self, done: DatasetUpkeep) -> None:
        if self.options.dry_run:
            return
        _log.info(
            "%s",
            LogEvent(
                "dataset maintained",
                dataset=self.dataset,
                files_before=done.files_before,
                files_after=done.files_after,
                compacted_rows=done.compacted_rows,
                deleted_files=len(done.deleted),
                deleted_bytes=done.deleted_bytes,
                log_commits=done.log_commits,
                errors=len(done.errors),
            ),
        )


def row_bytes(area: StagingArea, dataset: str) -> float | None:
    """Bytes of a row in memory, averaged over this shard's flushes; None = it has published no rows."""
    if area.ledger.datasets.find(dataset) is None:
        return None
    published = area.ledger.audit.totals(dataset).kept.get(BatchState.PUBLISHED, Volume())
    return published.bytes / published.rows if published.rows else None


def _no_progress(_dataset: str, _done: int, _of: int) -> None:
    """Shows nothing."""

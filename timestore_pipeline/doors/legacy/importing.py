"""Stages existing Parquet files, each content once; the source files are kept unless they are to be deleted.

A file is identified by its content and its path's columns, checked, staged in batches whose keys are that identity and
the first row, and then entered in the journal. After a crash at any point, the same import continues where it stopped.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from timestore_pipeline.doors.legacy.tree import LegacyTree, TreeFile
from timestore_pipeline.errors import (
    AccessDenied,
    DiskFailing,
    FileChanged,
    Interrupted,
    NotImportable,
    TimestoreError,
    UnreadableInput,
    error_document,
)
from timestore_pipeline.ingest.formats.path_columns import Types, with_path_columns
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.staging_loop import FileByFile, StagedTally
from timestore_pipeline.ingest.whole_file import check_rows, content_digest, is_the_files_fault, staging_loop
from timestore_pipeline.system import durable

_PREFIX = "legacy"  # of the keys


class ImportResult(StrEnum):
    """The result for one file."""

    IMPORTED = "imported"  # every row is durable
    SKIPPED = "skipped"  # its content was imported before
    FAILED = "failed"  # it can never be imported as it is


@dataclass(frozen=True, slots=True)
class Imported:
    """One file. `tally` counts its durable batches."""

    file: TreeFile
    result: ImportResult
    tally: StagedTally
    error: TimestoreError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Keys are a contract."""
        rows, again = self.tally.rows, self.tally.duplicate_rows
        return {
            "file": self.file.shown, "bytes": self.file.bytes, "result": self.result.value, "rows": rows,
            "duplicate_rows": again, "error": error_document(self.error),
        }  # fmt: skip


@dataclass
class Import(FileByFile):
    """One import of one tree."""

    staging: StagingManager
    dataset: str
    tree: LegacyTree
    journal: ImportJournal
    spool: Path
    delete: bool = False  # each file, once all its rows are durable

    def run(self) -> Iterator[Imported]:
        """File by file. Raises the errors that affect all files: `RetryLater`, `AccessDenied`."""
        types = self.tree.column_types()
        for file in self.tree.files:
            self._check_not_stopped()
            done = self._one(file, types)
            if self.delete and done.result is not ImportResult.FAILED:
                self._delete(file)
            yield done

    def _delete(self, file: TreeFile) -> None:
        try:
            if self.tree.is_unchanged(file):
                self.tree.delete(file)
        except OSError as error:
            hint = "its rows are durable: delete it by hand, or run the same command again with access to its folder"
            raise AccessDenied(f"{file.path} cannot be deleted: {error}", dataset=self.dataset, hint=hint) from error

    def _check_not_stopped(self) -> None:
        if self._stopped:
            hint = "run the same command again to continue"
            raise Interrupted("stopped on request", dataset=self.dataset, hint=hint)

    def _one(self, file: TreeFile, types: Types) -> Imported:
        tally = StagedTally()
        if file.refused:
            hint = "import its target by its own path, or copy it"
            error = NotImportable(f"{file.path} is not looked into: {file.refused}", dataset=self.dataset, hint=hint)
            return Imported(file, ImportResult.FAILED, tally, error)
        try:
            with self.tree.local(file, self.spool) as path:
                content = content_digest(path, *file.pairs)
                if content in self.journal:
                    return Imported(file, ImportResult.SKIPPED, tally)
                self._stage(file, path, content, types, tally)
        except OSError as error:
            hint = "run the same command again once it can be read: durable rows are skipped"
            raise DiskFailing(f"{file.path} cannot be read: {error}", dataset=self.dataset, hint=hint) from error
        except TimestoreError as error:
            if isinstance(error, Interrupted) or not (is_the_files_fault(error) or isinstance(error, FileChanged)):
                raise
            return Imported(file, ImportResult.FAILED, tally, _named(error, file))
        self.journal.add(content, tally.rows + tally.duplicate_rows)
        return Imported(file, ImportResult.IMPORTED, tally)

    def _stage(self, file: TreeFile, path: Path, content: str, types: Types, tally: StagedTally) -> None:
        reading = self.staging.reading(self.dataset)
        source = open_source(path, reading).with_columns(with_path_columns(file.columns, reading, types))
        check_rows(self.staging, self.dataset, source, self._check_not_stopped)
        self._check_unchanged(file)
        self._loop = staging_loop(self.staging, self.dataset, source, _PREFIX, content, lambda _: None)
        self._loop.tally = tally
        self._check_not_stopped()
        self._loop.run([source])
        self._check_unchanged(file)

    def _check_unchanged(self, file: TreeFile) -> None:
        if not self.tree.is_unchanged(file):
            hint = "a program still writes there: stop it, then run the same command again"
            raise FileChanged(f"{file.path} was written to while it was read", dataset=self.dataset, hint=hint)


def _named(error: TimestoreError, file: TreeFile) -> TimestoreError:
    """The same error about the file itself, not about its downloaded copy."""
    if not isinstance(error, UnreadableInput):
        return error
    return UnreadableInput(f"{file.path} cannot be read: {error.__cause__ or error}", hint=error.hint)


class ImportJournal:
    """The contents that were imported into one dataset, kept for ever, unlike idempotency keys, which have a retention.

    One line per file, written once all its rows are durable. A crash before that leaves no line; the next import reads
    the file again, and its keys skip the staged batches. A truncated line is ignored. Safe for concurrent imports,
    because a line is one write.
    """

    def __init__(self, staging_directory: Path, dataset: str) -> None:
        self._path = staging_directory / "legacy" / f"{dataset}.imported"
        lines = self._path.read_text(errors="replace").splitlines() if self._path.exists() else []
        self._known = {line.split(" ")[0] for line in lines if line.endswith(" .")}

    def __contains__(self, content: str) -> bool:
        return content in self._known

    def add(self, content: str, rows: int) -> None:
        """Durable on return."""
        durable.make_folder(self._path.parent, private=True)
        descriptor = durable.open_private(self._path)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
            os.write(descriptor, f"\n{content} {rows} .".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        durable.sync(self._path.parent)
        self._known.add(content)

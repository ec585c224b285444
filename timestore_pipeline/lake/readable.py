"""One dataset's Delta table for readers and audits: its rows, files, history and types; nothing here changes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
from pyarrow import fs

from timestore_pipeline.lake import faults, layout, table_schema
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.history import (
    PublishedCommit,
    TableHistory,
    live_files,
    published_commits,
    read_history,
    stored_files,
)
from timestore_pipeline.lake.layout import Origins
from timestore_pipeline.lake.log import DeltaLog, commit_metadata
from timestore_pipeline.lake.maintenance import file_origins
from timestore_pipeline.lake.parquet import parquet_problem
from timestore_pipeline.lake.snapshot import TableSnapshot, arrow_dataset
from timestore_pipeline.lake.store import Location
from timestore_pipeline.lake.table_schema import leeway_of, times_retyped
from timestore_pipeline.model.lake import LiveFile
from timestore_pipeline.model.recast import Leeway


class ReadableTable:
    """One dataset's table without changes to it; it may not exist yet: then it has no files.

    Wherever a method opens the table it may raise `RetryLater` (the store does not answer) or `Corrupted`.
    """

    def __init__(self, location: Location, options: Mapping[str, str], spool: Path | None = None) -> None:
        self.uri = location.uri
        self._store = location.store(spool)
        self._root = location.root()
        self._log = DeltaLog(self._store)
        self._handle = TableHandle(location.uri, options, self._log)

    def exists(self) -> bool:
        return self._handle.open() is not None

    def schema(self) -> pa.Schema:
        """Arrow schema with the partition column; raise `MissingTable` when there is no table."""
        return pa.schema(self._handle.existing().schema().to_arrow())

    def partition_columns(self) -> list[str]:
        """At most one name; raise `MissingTable` when there is no table."""
        return list(self._handle.existing().metadata().partition_columns)

    def as_published(self, rows: pa.Schema) -> pa.Schema:
        """The canonical schema `rows`, with the table's spelling and types for the columns that the table has already.

        Raise `MissingTable`, and `InvalidData` when a column has a type that no dataset can have.
        """
        return table_schema.as_published(self._handle.existing().schema(), rows)

    def was_retyped(self) -> bool:
        """Whether any column was given another type after it was published."""
        table = self._handle.open()
        with faults.reading(self.uri):
            return table is not None and times_retyped(table) > 0

    def leeway(self, column: str) -> Leeway | None:
        """The leeway with which a column's values were cast when its type was changed; None = it never was changed."""
        table = self._handle.open()
        with faults.reading(self.uri):
            return None if table is None else leeway_of(table, column)

    def to_arrow_dataset(self) -> pyarrow.dataset.Dataset:
        """The newest version's rows with the partition column, pruned by filters; raise `MissingTable`."""
        table = self._handle.existing()
        with faults.reading(self.uri):
            return arrow_dataset(table, self._root)

    def snapshot(self) -> TableSnapshot | None:
        """The newest version, for a reader; None when there is no table."""
        table = self._handle.open()
        return None if table is None else TableSnapshot(self._handle, table, self._root)

    def live_files(self) -> list[LiveFile]:
        """The files of the newest version; none when there is no table."""
        table = self._handle.open()
        if table is None:
            return []
        with faults.reading(self.uri):
            return live_files(table)

    def holds_flushes(self) -> bool | None:
        """Whether any live file is a flush's or a compaction's, of any shard; None = the table has no rows."""
        paths = [file.path for file in self.live_files()]
        return any(layout.written_by(path) or layout.compacted_by(path) for path in paths) if paths else None

    def history(self) -> TableHistory | None:
        """All commits, live files and stored files; None when there is no table."""
        return read_history(self._handle, self._root)

    def commits(self, after: int = -1) -> Iterator[tuple[int, dict[str, Any]]]:
        """(version, metadata) of this product's remaining commits above version `after`, oldest first."""
        for version, actions in self._log.commits(after):
            if metadata := commit_metadata(actions):
                yield version, metadata

    def published(self, shard: str) -> list[PublishedCommit]:
        """Commits of the shard's flushes, oldest first; none when there is no table. Raise as `history` does."""
        if self._handle.open() is None:
            return []
        with faults.reading(self.uri):
            return list(published_commits(self._log, shard))

    def stored_files(self) -> list[fs.FileInfo]:
        """Parquet files in the folder, by path relative to it, whether or not there is a table."""
        with faults.reading(self.uri):
            return stored_files(self._root)

    def damaged_files(self, live: Mapping[str, LiveFile], *, deep: bool) -> Iterator[tuple[str, str]]:
        """(path, problem) of files whose footer cannot be read or has another row count than the table.

        deep: decode every page, too. In a bucket the footers are read only then: each costs a request.
        """
        if deep or self._store.root is not None:
            for path, file in live.items():
                if problem := parquet_problem(self._root, path, file.rows, deep=deep):
                    yield path, problem

    @property
    def is_remote(self) -> bool:
        """Whether each access to a file costs a request."""
        return self._store.root is None

    def origins(self, files: Iterable[LiveFile]) -> dict[str, Origins]:
        """Path -> origins of the file's rows, for files with a row count. Raise as `file_origins` does."""
        return {file.path: file_origins(self._root, file.path, file.rows) for file in files if file.rows is not None}

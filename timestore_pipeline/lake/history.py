"""Where a table's rows came from, according to its log and folder; `timestore verify` compares it with the ledger.

Read in an order that is safe beside writers: the snapshot, then the commits up to it, then the folder. A file of the
snapshot was in the folder before it was in the log, and only `vacuum` deletes it, after a commit that removes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import fs

from timestore_pipeline.lake import faults, layout
from timestore_pipeline.lake.actions import logged_partition
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.log import DeltaLog, commit_metadata
from timestore_pipeline.lake.log_files import Action
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.lake import ExportedFile, LiveFile, compaction_app_id, ranges_to_batches

RETYPED = "retyped"  # outcome of a commit that put the same rows into other files, a column in another type


@dataclass(frozen=True, slots=True)
class TableCommit:
    """One version of the table. Paths are relative to its root, not URL-encoded."""

    version: int
    metadata: Mapping[str, Any]  # written by this product; empty = a commit of another tool, or maintenance
    added: Mapping[str, int | None]  # path -> rows; None = written without statistics
    removed: frozenset[str]
    changes_data: bool  # False = the same rows in other files: a compaction, or a column's change of type

    @property
    def published(self) -> bool:
        """Whether it carries a flush's rows."""
        return self.metadata.get("outcome") == "published"


@dataclass(frozen=True, slots=True)
class TableHistory:
    """The newest version and the commits that led to it."""

    commits: Sequence[TableCommit]  # oldest first
    live: Mapping[str, LiveFile]  # by path
    stored: Mapping[str, int]  # Parquet files in the folder, path -> bytes
    generations: Mapping[str, int] = field(default_factory=dict)  # shard -> the last of its compactions in the log

    def may_be_in_progress(self, path: str) -> bool:
        """Whether the file was written by a compaction that may still commit."""
        shard, generation = layout.compacted_by(path) or ("", 0)
        return generation > self.generations.get(shard, 0)

    def rows_known(self) -> dict[str, int | None]:
        """Rows by path, of every file that a remaining commit added; None = no commit gives the number."""
        return {path: rows for commit in self.commits for path, rows in commit.added.items()}

    def removed(self) -> set[str]:
        """Paths of files that were live once and no longer are."""
        return {path for commit in self.commits for path in commit.removed} - self.live.keys()

    def named(self) -> set[str]:
        """Paths of all files that any commit names."""
        return self.live.keys() | self.removed() | {path for commit in self.commits for path in commit.added}

    @property
    def complete(self) -> bool:
        """False when log cleanup has removed the oldest commits."""
        return bool(self.commits) and self.commits[0].version == 0


def read_history(handle: TableHandle, root: fs.FileSystem) -> TableHistory | None:
    """None when there is no table; raise `RetryLater` or `Corrupted` as `TableHandle.open` does."""
    table = handle.open()
    if table is None:
        return None
    with faults.reading(handle.uri):
        commits = [table_commit(version, actions) for version, actions in handle.log.commits()]
        known = [commit for commit in commits if commit.version <= table.version()]
        live = {file.path: file for file in live_files(table)}
        stored = {str(info.path): int(info.size) for info in stored_files(root)}
        shards = {written[0] for path in stored if (written := layout.compacted_by(path))}
        generations = {shard: int(table.transaction_version(compaction_app_id(shard)) or 0) for shard in shards}
        return TableHistory(known, live, stored, generations)


def live_files(table: DeltaTable) -> list[LiveFile]:
    """The live files of a snapshot."""
    adds = pa.table(table.get_add_actions()).select(["path", "num_records", "size_bytes"]).to_pylist()
    return [LiveFile(unquote(add["path"]), add["num_records"], add["size_bytes"]) for add in adds]


def table_commit(version: int, actions: Sequence[Action]) -> TableCommit:
    """One commit from the actions of its file."""
    adds = [action["add"] for action in actions if "add" in action]
    removes = [action["remove"] for action in actions if "remove" in action]
    metadata = commit_metadata(actions)
    data_change = any(action.get("dataChange", True) for action in (*adds, *removes))
    return TableCommit(
        version=version,
        metadata=metadata,
        added={unquote(add["path"]): add_rows(add) for add in adds},
        removed=frozenset(unquote(remove["path"]) for remove in removes),
        changes_data=data_change and metadata.get("outcome") != RETYPED,
    )


def add_rows(add: Action) -> int | None:
    """Rows of the file that an add action names; None = written without statistics."""
    rows: int | None = json.loads(add.get("stats") or "{}").get("numRecords")
    return rows


def stored_files(root: fs.FileSystem) -> list[fs.FileInfo]:
    """Parquet files under a folder, by path; none when there is no such folder.

    Names that begin with '_' or '.' belong to the log, or to a file that is still being written.
    """
    found = root.get_file_info(fs.FileSelector("", recursive=True, allow_not_found=True))
    files = [info for info in found if info.is_file and info.path.endswith(".parquet")]
    return sorted((info for info in files if not _is_hidden(info.path)), key=lambda info: str(info.path))


def _is_hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in path.split("/"))


@dataclass(frozen=True, slots=True)
class NewestEpoch:
    """A table's newest epoch of one transaction identifier; 0 = none."""

    epoch: int
    published: bool  # False = burnt: it carries no rows


@dataclass(frozen=True, slots=True)
class PublishedCommit:
    """One commit that carries a flush's rows. Metadata that the commit lacks are empty or 0."""

    version: int
    metadata: Mapping[str, Any]
    files: Sequence[ExportedFile]

    @property
    def epoch(self) -> int:
        return int(self.metadata["epoch"])

    @property
    def claim(self) -> str:
        return str(self.metadata.get("claim") or "")

    @property
    def ledger_id(self) -> str:
        return str(self.metadata.get("ledger") or "")

    @property
    def volume(self) -> Volume:
        return Volume(*(int(self.metadata.get(key) or 0) for key in ("batches", "rows", "bytes")))

    def batch_ids(self) -> Iterator[str]:
        return ranges_to_batches(self.metadata.get("segments") or {})


def published_commits(log: DeltaLog, shard: str) -> Iterator[PublishedCommit]:
    """The shard's commits that log cleanup has left, oldest first."""
    for version, actions in log.commits():
        metadata = commit_metadata(actions)
        if metadata.get("outcome") == "published" and metadata.get("shard") == shard:
            files = [_file(action["add"]) for action in actions if "add" in action]
            yield PublishedCommit(version, metadata, files)


def _file(add: Action) -> ExportedFile:
    return ExportedFile(
        path=unquote(add["path"]),
        rows=add_rows(add) or 0,
        bytes=add["size"],
        partition=logged_partition(add.get("partitionValues") or {}),
        stats=add.get("stats") or "{}",
        min_time=None,
        max_time=None,
    )

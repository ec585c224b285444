"""What may be removed of a table: files that are proven not to be in its newest version, and the old part of its log.

Files are compared in an order that is safe beside writers: the folder, then a snapshot, then the commits. A file
committed meanwhile was in the folder before and is in the snapshot; a file that may still be committed was written
under an epoch or a generation that the snapshot has not reached, and is kept, however old it is.

The snapshot does not need the old part of the log: a checkpoint has the snapshot, with every epoch that was reached
(decision 0003). But a lost ledger is rebuilt from commits: a batch is published if a commit lists it. So a shard keeps
the commits that may name a batch of a segment it still has, and where several shards publish, each marks in the log
which commits it has released.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote

from deltalake import DeltaTable
from pyarrow import fs

from timestore_pipeline.lake import faults, layout
from timestore_pipeline.lake.epochs import EpochCommit, settle
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.history import live_files, stored_files
from timestore_pipeline.lake.log import commit_metadata
from timestore_pipeline.model.lake import app_id, compaction_app_id
from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class GarbageFile:
    """A file that may be deleted."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """One table's folder, compared with its log."""

    dataset: str
    stored: Mapping[str, fs.FileInfo]
    live: frozenset[str]
    removed: Mapping[str, datetime]  # path -> when a commit removed it
    named: frozenset[str]  # by any commit that log cleanup has left
    reached: Mapping[str, int] = field(default_factory=dict)  # transaction identifier -> version, of `stored`'s writers

    def disused(self, before: datetime) -> Iterator[GarbageFile]:
        """Files that were removed from the table before an instant, and files that can never be committed any more.

        The flush or compaction that wrote one of the latter died.
        """
        for path, info in self.stored.items():
            if path in self.live:
                continue
            if path in self.removed:
                if self.removed[path] < before:
                    yield GarbageFile(path, info.size)
            elif self._is_settled(path) and (layout.compacted_by(path) or _modified(info) < before):
                yield GarbageFile(path, info.size)

    def unsettled(self, shard: str) -> int:
        """The highest generation of a shard's compactions that left a file and may still commit; 0 = none."""
        found = [written for path in self.stored if (written := layout.compacted_by(path))]
        reached = self.reached.get(compaction_app_id(shard), 0)
        return max((number for name, number in found if name == shard and number > reached), default=0)

    def _is_settled(self, path: str) -> bool:
        """Written by a flush or compaction, in no commit, and its number was passed: it can never be committed."""
        writer = _writer(self.dataset, path)
        return writer is not None and path not in self.named and writer[1] <= self.reached.get(writer[0], 0)


def folder_facts(handle: TableHandle, root: fs.FileSystem, dataset: str) -> FolderFacts | None:
    """None when there is no table."""
    with faults.reading(handle.uri):
        stored = {str(info.path): info for info in stored_files(root)}
    table = handle.open()
    if table is None:
        return None
    with faults.reading(handle.uri):
        live = frozenset(file.path for file in live_files(table))
        removed, named = _commits(handle)
        writers = {writer[0] for path in stored if (writer := _writer(dataset, path))}
        reached = {name: int(table.transaction_version(name) or 0) for name in writers}
        return FolderFacts(dataset, stored, live, removed, named, reached)


def _commits(handle: TableHandle) -> tuple[dict[str, datetime], frozenset[str]]:
    removed: dict[str, datetime] = {}
    named: set[str] = set()
    for _, actions in handle.log.commits():
        for remove in (action["remove"] for action in actions if "remove" in action):
            removed[unquote(remove["path"])] = clock.from_micros((remove.get("deletionTimestamp") or 0) * 1000)
        named.update(unquote(action["add"]["path"]) for action in actions if "add" in action)
    return removed, frozenset(named)


def _writer(dataset: str, path: str) -> tuple[str, int] | None:
    """Transaction identifier and number under which a file was written; None = written by another tool."""
    if (flush := layout.written_by(path)) is not None:
        return app_id(flush[0], dataset), flush[1]
    compaction = layout.compacted_by(path)
    return None if compaction is None else (compaction_app_id(compaction[0]), compaction[1])


def _modified(info: fs.FileInfo) -> datetime:
    return clock.from_micros((info.mtime_ns or 0) // 1000)


@dataclass(frozen=True, slots=True)
class LogTrim:
    """A part of the log that may be removed."""

    version: int  # the checkpoint below which commits may be removed; 0 = none may
    commits: int
    shared: bool  # other shards have published there
    waiting_for: Sequence[str]  # shards that have not released it


class LogMaintenance:
    """The log of one table, on behalf of one shard."""

    def __init__(self, handle: TableHandle, shard: str) -> None:
        self._handle = handle
        self._shard = shard

    def trimmable(self, before: datetime) -> LogTrim:
        """The commits from before an instant and below a checkpoint, and the shards that have not released them.

        A lost ledger is rebuilt from the commits, so each shard releases those that it no longer needs (`release`).
        """
        with faults.reading(self._handle.uri):
            version = self._handle.log.trimmable(before)
            commits = self._handle.log.commits()
            below = [commit_metadata(actions) for number, actions in commits if number < version]
            shards = {str(metadata["shard"]) for metadata in below if "shard" in metadata} - {self._shard}
            table = self._handle.existing()
            waiting = [name for name in sorted(shards) if _released(table, name) < version]
            oldest = self._handle.log.oldest() or 0
        return LogTrim(version, max(version - oldest, 0), bool(shards), waiting)

    def release(self, version: int) -> None:
        """Mark in the log that this shard needs no commit below a version; raise as `burn` does."""
        if _released(self._handle.existing(), self._shard) < version:
            name = _kept(self._shard)
            metadata = {"app_id": name, "epoch": version, "outcome": "released"}
            settle(self._handle, EpochCommit(name, version, burn=False, adds=(), metadata=metadata))

    def trim(self, version: int) -> int:
        """Remove the log below a version that `trimmable` returned; return the number of commits."""
        try:
            return self._handle.log.trim(version)
        except OSError as error:
            raise faults.not_deleted(f"the old part of the log of {self._handle.uri}", error) from error


def _kept(shard: str) -> str:
    """Transaction identifier whose version is the first commit that the shard may still need."""
    return f"timestore/{shard}/_kept"


def _released(table: DeltaTable, shard: str) -> int:
    return int(table.transaction_version(_kept(shard)) or 0)

"""One shard's published flushes in a table, read back from the Delta log with everything a ledger keeps of a flush."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from timestore_pipeline.lake.actions import logged_partition
from timestore_pipeline.lake.history import add_rows
from timestore_pipeline.lake.log import Action, DeltaLog, commit_metadata
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.commit import ranges_to_batches
from timestore_pipeline.model.lake import ExportedFile


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

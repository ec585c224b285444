"""Removing the old part of a table's log, once no shard needs it.

The snapshot does not need it: a checkpoint has the snapshot, with every epoch that was reached (decision 0003). But a
lost ledger is rebuilt from commits: a batch is published if a commit lists it. So a shard keeps the commits that may
name a batch of a segment it still has, and where several shards publish, each marks in the log which commits it has
released.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deltalake import DeltaTable

from timestore_pipeline.lake import faults
from timestore_pipeline.lake.epochs import EpochCommit, settle
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.log import commit_metadata


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

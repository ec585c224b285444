"""Removing the old part of a table's log, once nobody needs it.

The snapshot does not: it is in a checkpoint, with every epoch that was reached (decision 0003). A lost ledger is
rebuilt from commits, however: a batch is published if one lists it. So a shard keeps those that may name a batch of a
segment it still has, and where several shards publish each says in the log up to where it needs none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deltalake import DeltaTable

from timestore_pipeline.lake import faults
from timestore_pipeline.lake.epochs import EpochCommit, settle
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.log import commit_metadata


@dataclass(frozen=True, slots=True)
class LogTrim:
    """A part of the log that may go."""

    version: int  # the checkpoint below which it may; 0 = nothing may
    commits: int
    shared: bool  # other shards have published there
    waiting_for: Sequence[str]  # shards that have not said that they need it no more


class LogMaintenance:
    """The log of one table, on behalf of one shard."""

    def __init__(self, handle: TableHandle, shard: str) -> None:
        self._handle = handle
        self._shard = shard

    def trimmable(self, before: datetime) -> LogTrim:
        """What of the log nobody needs: commits from before an instant, below a checkpoint, and every shard agrees.

        A ledger that is lost is rebuilt from the commits; each shard says up to where it needs none (`release`).
        """
        with faults.reading(self._handle.uri):
            version = self._handle.log.trimmable(before)
            below = [told for number, told in self._told() if number < version]
            shards = {str(told["shard"]) for told in below if "shard" in told} - {self._shard}
            table = self._handle.existing()
            waiting = [name for name in sorted(shards) if _released(table, name) < version]
            oldest = self._handle.log.oldest() or 0
        return LogTrim(version, max(version - oldest, 0), bool(shards), waiting)

    def release(self, version: int) -> None:
        """Tell the other shards that this one needs no commit below a version; raise as `burn` does."""
        if _released(self._handle.existing(), self._shard) < version:
            name = _kept(self._shard)
            metadata = {"app_id": name, "epoch": version, "outcome": "released"}
            settle(self._handle, EpochCommit(name, version, burn=False, adds=(), metadata=metadata))

    def trim(self, version: int) -> int:
        """Remove the log below a version that `trimmable` has given; return how many commits."""
        try:
            return self._handle.log.trim(version)
        except OSError as error:
            raise faults.not_deleted(f"the old part of the log of {self._handle.uri}", error) from error

    def _told(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        return ((version, commit_metadata(actions)) for version, actions in self._handle.log.commits())


def _kept(shard: str) -> str:
    """Transaction identifier whose version is the first commit the shard may still need."""
    return f"timestore/{shard}/_kept"


def _released(table: DeltaTable, shard: str) -> int:
    return int(table.transaction_version(_kept(shard)) or 0)

"""The entries that a reconciliation adds to a ledger, and how far the ledger is trusted meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, Self

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.engine import EnginePool
from timestore_pipeline.staging.ledger import Ledger


class Trust(Enum):
    """How far the entries of the ledger are complete."""

    CURRENT = "current"  # listed segments are listed completely; only unlisted ones are read
    OLDER = "older"  # a copy from a backup: listed segments may have grown since, so all of them are read
    NOTHING = "nothing"  # salvaged from remains: flushes and incidents may lack a part, too


@dataclass(frozen=True, slots=True)
class Unadopted:
    """A file that could not be entered, and why; it is not moved."""

    path: Path
    reason: str


@dataclass
class Reconciliation:
    """The entries that were added to the ledger."""

    published: list[FlushRef] = field(default_factory=list)  # flushes entered from the log
    adopted: list[str] = field(default_factory=list)  # ids of segments that were new, or had new batches
    journals: list[str] = field(default_factory=list)  # ids of journals with new batches
    pending: int = 0  # new batches of these that are now pending
    incidents: list[int] = field(default_factory=list)  # opened for files in quarantine without one
    unadopted: list[Unadopted] = field(default_factory=list)
    errors: list[TimestoreError] = field(default_factory=list)  # of tables that cannot be read

    @property
    def has_changes(self) -> bool:
        """Whether the ledger lacked an entry that a current ledger would have."""
        return bool(self.published or self.adopted or self.journals or self.incidents or self.unadopted)

    def __iadd__(self, later: Reconciliation) -> Self:
        """Add a later pass; files and tables that still fail are listed once, with the later reason."""
        self.published += later.published
        self.adopted += (one for one in later.adopted if one not in self.adopted)
        self.journals += (one for one in later.journals if one not in self.journals)
        self.pending += later.pending
        self.incidents += later.incidents
        self.unadopted, self.errors = later.unadopted, later.errors
        return self


class LedgerContext(Protocol):
    """A staging area, or a directory whose ledger is being rebuilt."""

    @property
    def directory(self) -> StagingDirectory: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def shard(self) -> str: ...
    @property
    def engines(self) -> EnginePool: ...


@dataclass(frozen=True, slots=True)
class OfflineLedger:
    """A ledger in a directory that no process has open, not even this one."""

    directory: StagingDirectory
    ledger: Ledger
    shard: str
    engines: EnginePool = field(default_factory=EnginePool)

    def close(self) -> None:
        self.engines.close()
        self.ledger.close()

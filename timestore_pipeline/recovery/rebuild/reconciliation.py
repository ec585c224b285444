"""What a ledger is told that it did not know, and how far it is believed while it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, Self

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger import Ledger


class Trust(Enum):
    """In the ledger that is to learn."""

    CURRENT = "current"  # what it lists is all there is of it; only what it does not list is read
    OLDER = "older"  # a copy from a backup: segments that it lists may have grown since, so all of them are read
    NOTHING = "nothing"  # put together from pieces: flushes and incidents may lack a part, too


@dataclass(frozen=True, slots=True)
class Unadopted:
    """A file that could not be entered, and why; it is left where it is."""

    path: Path
    reason: str


@dataclass
class Reconciliation:
    """What the ledger has learnt."""

    published: list[FlushRef] = field(default_factory=list)  # flushes entered from the log
    adopted: list[str] = field(default_factory=list)  # ids of segments that were new, or of which batches were
    journals: list[str] = field(default_factory=list)  # ids of journals of which batches were new
    owed: int = 0  # batches of these that are pending from now on
    incidents: list[int] = field(default_factory=list)  # opened for files in quarantine that no incident knew
    unadopted: list[Unadopted] = field(default_factory=list)
    errors: list[TimestoreError] = field(default_factory=list)  # tables that do not answer

    @property
    def is_news(self) -> bool:
        """Whether a ledger that is current would have known some of it."""
        return bool(self.published or self.adopted or self.journals or self.incidents or self.unadopted)

    def __iadd__(self, later: Reconciliation) -> Self:
        """With a later pass's: what still cannot be adopted or read is told once, as it stands."""
        self.published += later.published
        self.adopted += (one for one in later.adopted if one not in self.adopted)
        self.journals += (one for one in later.journals if one not in self.journals)
        self.owed += later.owed
        self.incidents += later.incidents
        self.unadopted, self.errors = later.unadopted, later.errors
        return self


class LedgerContext(Protocol):
    """A staging area, or one whose ledger is being put together."""

    @property
    def directory(self) -> StagingDirectory: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def shard(self) -> str: ...


@dataclass(frozen=True, slots=True)
class OfflineLedger:
    """A ledger in a directory that nobody has open, not even this process."""

    directory: StagingDirectory
    ledger: Ledger
    shard: str

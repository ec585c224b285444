"""The parts of a flush: its trigger, the claimed volume, the state of the claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from timestore_pipeline.errors import Conflict, Corrupted, DiskFull, Interrupted, OutcomeUnknown, RetryLater
from timestore_pipeline.model.batch import Volume


class Trigger(StrEnum):
    """The limit that triggered the flush, or an operator."""

    ROWS = "rows"
    BYTES = "bytes"
    AGE = "age"
    GUARDRAIL = "guardrail"
    MANUAL = "manual"


class RetryReason(StrEnum):
    """Why a flush released its batches, as the retry counter's label: by remedy, so that the set stays bounded."""

    INTERRUPTED = "interrupted"  # its process is gone, or a person stopped it
    DISK_FULL = "disk_full"
    RETRY_LATER = "retry_later"  # the lake did not answer, memory ran out, the ledger was busy
    CORRUPTED = "corrupted"
    CONFLICT = "conflict"  # the table in the lake contradicts the data, or another ledger publishes
    ERROR = "error"  # unexpected: see the flush's own error

    @classmethod
    def of(cls, error: BaseException) -> RetryReason:
        """The label of the error that made a flush fail."""
        return next((reason for kind, reason in _REASONS if isinstance(error, kind)), cls.ERROR)


class Phase(StrEnum):
    """The phases of a flush, in order."""

    CLAIM = "claim"
    EXPORT = "export"
    PUBLISH = "publish"
    FINALIZE = "finalize"


class FlushState(StrEnum):
    """A claim moves forward only: claimed -> exported -> published, or to aborted from either of the first two."""

    CLAIMED = "claimed"
    EXPORTED = "exported"
    PUBLISHED = "published"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Flush:
    """One flush of one dataset, identified by (dataset, epoch). Epochs of a dataset only grow."""

    dataset: str
    epoch: int
    state: FlushState
    trigger: Trigger
    run_id: str
    owner: str  # process id in the ledger's sense; its lock file shows whether it is alive
    volume: Volume
    claimed_at: datetime
    finished_at: datetime | None
    error: str | None
    files: int = 0
    file_bytes: int = 0
    version: int | None = None  # Delta table version that carries the epoch; None until published
    oldest_staged_at: datetime | None = None
    min_time: datetime | None = None
    max_time: datetime | None = None
    phases: Mapping[Phase, timedelta] = field(default_factory=dict)  # duration of each, as far as known

    @property
    def duration(self) -> timedelta | None:
        """Wall-clock time from claim to the end; None while it runs."""
        return None if self.finished_at is None else self.finished_at - self.claimed_at


@dataclass(frozen=True, slots=True)
class FlushRef:
    """Names a claim; small and plain, so that it can be passed between ops and processes."""

    dataset: str
    epoch: int

    def to_dict(self) -> dict[str, str | int]:
        return {"dataset": self.dataset, "epoch": self.epoch}

    @classmethod
    def from_dict(cls, document: Mapping[str, str | int]) -> FlushRef:
        return cls(dataset=str(document["dataset"]), epoch=int(document["epoch"]))


_REASONS: tuple[tuple[type[BaseException], RetryReason], ...] = (  # the first that fits
    (KeyboardInterrupt, RetryReason.INTERRUPTED),
    (Interrupted, RetryReason.INTERRUPTED),
    (SystemExit, RetryReason.INTERRUPTED),
    (DiskFull, RetryReason.DISK_FULL),
    (RetryLater, RetryReason.RETRY_LATER),
    (OutcomeUnknown, RetryReason.RETRY_LATER),
    (Corrupted, RetryReason.CORRUPTED),
    (Conflict, RetryReason.CONFLICT),
)

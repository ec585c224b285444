"""A dataset's backlog, and the flushes that publish it: trigger, claimed volume, state of the claim.

One ledger query reads a backlog; it is the only input of the flush decision besides limits and time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from timestore_pipeline.errors import Conflict, Corrupted, DiskFull, Interrupted, OutcomeUnknown, RetryLater
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.thresholds import LONGEST_BACKOFF, LONGEST_BLOCK


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


@dataclass(frozen=True, slots=True)
class FlushBlock:
    """Why flushes of a dataset are suspended: the error's code, sentence and remedy."""

    code: str
    error: str
    hint: str
    at: datetime
    configuration: str  # digest of the configuration and of the table's place at that time; others may work

    def holds(self, configuration: str, now: datetime) -> bool:
        """Under the same configuration, for `LONGEST_BLOCK`; then a flush tries whether the cause was removed."""
        return configuration == self.configuration and self.at <= now < self.at + LONGEST_BLOCK


@dataclass(slots=True)
class Backlog:
    """Everything staged and not yet published; in-flight batches are counted apart, so a stuck flush stays visible.

    Never changed, but not frozen: a tick makes one for each dataset, and a frozen one takes three times as long.
    """

    dataset: str
    pending: Volume
    in_flight: Volume
    quarantined: Volume
    oldest_pending_at: datetime | None
    oldest_staged_at: datetime | None  # pending and in flight
    disk_bytes: int
    paused: bool = False
    manual_requested_at: datetime | None = None
    retry_at: datetime | None = None  # automatic flushes wait until then; None = the last one did not fail
    failures: int = 0  # flushes failed in a row
    last_error: str | None = None  # of the newest flush, while automatic flushes wait because it failed
    newest_pending_at: datetime | None = None  # None = not queried, or no batch is pending
    claim_trigger: Trigger | None = None  # of the claim in flight; None = no batch is claimed
    claim_owner_alive: bool = False
    claimed_at: datetime | None = None  # of the claim in flight
    block: FlushBlock | None = None  # None = not blocked
    layout_open: bool = False  # rows are staged, and none of them has a time
    accepted: Volume = field(default_factory=Volume)  # ever acknowledged

    @property
    def queued(self) -> Volume:
        return self.pending + self.in_flight

    @property
    def interrupted(self) -> bool:
        """The process of the claim in flight is gone: only the next flush can settle it."""
        return self.claim_trigger is not None and not self.claim_owner_alive

    def backs_off(self, now: datetime) -> bool:
        """Whether automatic flushes wait; a wait beyond `LONGEST_BACKOFF` is void, because the clock was set back."""
        return self.retry_at is not None and now < self.retry_at <= now + LONGEST_BACKOFF

    def oldest_age(self, now: datetime) -> timedelta:
        """Age of the oldest batch not yet published, zero when there is none (or the clock went backwards)."""
        if self.oldest_staged_at is None:
            return timedelta(0)
        return max(now - self.oldest_staged_at, timedelta(0))


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

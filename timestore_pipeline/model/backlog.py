"""A dataset's backlog, read by one ledger query; the only input of the flush decision besides limits and time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.model.thresholds import LONGEST_BACKOFF, LONGEST_BLOCK


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


@dataclass(frozen=True, slots=True)
class Backlog:
    """Everything staged and not yet published; in-flight batches are counted apart, so a stuck flush stays visible."""

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
    last_error: str | None = None  # of the newest flush, if that failed
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

"""Whether a dataset is due for a flush, and why. Pure: the sensor, the command line and the alerts all use it.

Age is measured by the wall clock of the caller, not at the next write, so a dataset that went silent is flushed too. A
wall clock that is set back delays no flush either: what it makes impossible counts as due.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from timestore_pipeline.model.flush import Backlog, Trigger
from timestore_pipeline.model.lake import UNTIL_TIME, undecided
from timestore_pipeline.model.thresholds import LONGEST_BLOCK, FlushThresholds

_TOLD = 300  # characters of an error
_CLOCK_SKEW = timedelta(
    seconds=5
)  # two readings of one machine's clock may differ by this much although it was not set


@dataclass(frozen=True, slots=True)
class FlushLimits:
    """Everything that can make one dataset due."""

    thresholds: FlushThresholds
    dataset_bytes: int = 0  # guardrail on disk; 0 = off
    pressure: str = ""  # what is wrong with the whole directory, so that every backlog is due
    waits_for_time: bool = False  # as long as the layout is open
    configuration: str = ""  # digest of what a blocked dataset waits for to change; empty = it is not blocked


@dataclass(frozen=True, slots=True)
class FlushDecision:
    """`reason` is a sentence for an operator; `due_at` is when it is due if nothing more comes in, None = never."""

    dataset: str
    due: bool
    reason: str
    trigger: Trigger | None = None
    due_at: datetime | None = None
    waits_for: str = ""  # what has to happen first; empty = a limit has to be reached


def decide_flush(backlog: Backlog, limits: FlushLimits, now: datetime) -> FlushDecision:
    """Decide on one dataset. An operator's request passes a pause; nothing passes a flush in flight."""
    held = _held_back(backlog, limits, now)
    if held is not None:
        return held
    due = next((found for rule in _RULES if (found := rule(backlog, limits, now))), None)
    if due is not None:
        trigger, reason = due
        return FlushDecision(backlog.dataset, True, reason, trigger, now)
    return FlushDecision(backlog.dataset, False, _waiting(backlog, limits), due_at=_age_due_at(backlog, limits))


_Due = tuple[Trigger, str] | None


def _held_back(backlog: Backlog, limits: FlushLimits, now: datetime) -> FlushDecision | None:
    """What keeps a dataset from being flushed whatever its backlog."""
    if backlog.interrupted:
        return _blocked(backlog, limits, now) or _backing_off(backlog, now) or _settle(backlog, now)
    if backlog.claim_trigger is not None:
        return FlushDecision(backlog.dataset, False, f"a flush of {backlog.in_flight.rows:,} rows is in flight")
    if backlog.pending.batches == 0:
        return FlushDecision(backlog.dataset, False, "nothing is staged")
    if backlog.layout_open and limits.waits_for_time:
        return FlushDecision(backlog.dataset, False, undecided(backlog.dataset), waits_for=UNTIL_TIME)
    if backlog.paused and backlog.manual_requested_at is None:
        return FlushDecision(
            backlog.dataset, False, "flushes are paused until `timestore resume`; a manual flush still works"
        )
    return _blocked(backlog, limits, now) or _backing_off(backlog, now)


def _blocked(backlog: Backlog, limits: FlushLimits, now: datetime) -> FlushDecision | None:
    """Without a change, another attempt would fail again; a request that was made before the failure is no change."""
    block = backlog.block
    if block is None or not block.holds(limits.configuration, now):
        return None
    remedy = f"; {block.hint}" if block.hint else ""
    reason = f"blocked: {block.error}{remedy}; then `timestore flush {backlog.dataset}`"
    latest = block.at + LONGEST_BLOCK
    waits_for = f"when the cause is removed, at {latest:%H:%M:%S} UTC at the latest"
    return FlushDecision(backlog.dataset, False, reason, due_at=latest, waits_for=waits_for)


def _backing_off(backlog: Backlog, now: datetime) -> FlushDecision | None:
    """A failing dataset must not cost a run at every tick. A manual request ends the wait when it is made."""
    if backlog.retry_at is None or not backlog.backs_off(now):
        return None
    last = f", the last: {backlog.last_error[:_TOLD]}" if backlog.last_error else ""
    reason = f"failures in a row: {backlog.failures}{last}; the next try is at {backlog.retry_at:%H:%M:%S} UTC"
    return FlushDecision(backlog.dataset, False, reason, due_at=backlog.retry_at)


def _settle(backlog: Backlog, now: datetime) -> FlushDecision:
    reason = f"the process that flushed {backlog.in_flight.rows:,} rows is gone; the next flush settles its claim"
    return FlushDecision(backlog.dataset, True, reason, backlog.claim_trigger, now)


def _manual(backlog: Backlog, limits: FlushLimits, now: datetime) -> _Due:
    if backlog.manual_requested_at is None:
        return None
    return Trigger.MANUAL, f"an operator asked for it at {backlog.manual_requested_at:%H:%M:%S} UTC"


def _guardrail(backlog: Backlog, limits: FlushLimits, now: datetime) -> _Due:
    if limits.dataset_bytes and backlog.disk_bytes >= limits.dataset_bytes:
        reason = f"{backlog.disk_bytes:,} bytes on disk reach the dataset's guardrail of {limits.dataset_bytes:,}"
        return Trigger.GUARDRAIL, reason
    return (Trigger.GUARDRAIL, limits.pressure) if limits.pressure else None


def _rows(backlog: Backlog, limits: FlushLimits, now: datetime) -> _Due:
    most = limits.thresholds.max_rows
    if most and backlog.pending.rows >= most:
        return Trigger.ROWS, f"{backlog.pending.rows:,} rows reach the threshold of {most:,}"
    return None


def _bytes(backlog: Backlog, limits: FlushLimits, now: datetime) -> _Due:
    most = limits.thresholds.max_bytes
    if most and backlog.pending.bytes >= most:
        return Trigger.BYTES, f"{backlog.pending.bytes:,} bytes reach the threshold of {most:,}"
    return None


def _age(backlog: Backlog, limits: FlushLimits, now: datetime) -> _Due:
    due_at = _age_due_at(backlog, limits)
    newest = backlog.newest_pending_at or backlog.oldest_pending_at
    if due_at is not None and newest is not None and newest > now + _CLOCK_SKEW:
        return Trigger.AGE, f"a batch was staged at {newest:%Y-%m-%d %H:%M:%S} UTC, after now: the clock was set back"
    if due_at is not None and now >= due_at:
        waited = _seconds(now - (backlog.oldest_pending_at or now))
        return Trigger.AGE, f"the oldest batch waits for {waited}, the limit is {_seconds(limits.thresholds.max_age)}"
    return None


def _everything(backlog: Backlog, limits: FlushLimits, now: datetime) -> _Due:
    return (Trigger.AGE, "all thresholds are off: everything staged is due") if limits.thresholds.all_off else None


_RULES: tuple[Callable[[Backlog, FlushLimits, datetime], _Due], ...] = (
    _manual, _guardrail, _rows, _bytes, _age, _everything,
)  # fmt: skip


def _age_due_at(backlog: Backlog, limits: FlushLimits) -> datetime | None:
    if not limits.thresholds.max_age or backlog.oldest_pending_at is None:
        return None
    return backlog.oldest_pending_at + limits.thresholds.max_age


def _waiting(backlog: Backlog, limits: FlushLimits) -> str:
    """How far each limit is; the nearest one binds."""
    thresholds = limits.thresholds
    shares = {
        f"{backlog.pending.rows:,} of {thresholds.max_rows:,} rows": _share(backlog.pending.rows, thresholds.max_rows),
        f"{backlog.pending.bytes:,} of {thresholds.max_bytes:,} bytes": _share(
            backlog.pending.bytes, thresholds.max_bytes
        ),
    }
    known = [(share, text) for text, share in shares.items() if share is not None]
    age = _age_due_at(backlog, limits)
    parts = [text for _, text in sorted(known, reverse=True)]
    return "below every threshold: " + ", ".join([*parts, *([f"due by age at {age:%H:%M:%S} UTC"] if age else [])])


def _share(amount: int, limit: int) -> float | None:
    return amount / limit if limit else None


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.1f} s"

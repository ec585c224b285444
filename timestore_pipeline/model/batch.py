"""A batch: the rows of one call of a producer, the unit of acknowledgement, of claiming and of provenance.

Also the ids of the files that hold batches, the extents of their numbers, and incidents: a batch or a segment in
quarantine, so that the rest of its dataset is published. Nothing is deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from timestore_pipeline.errors import InvalidInput
from timestore_pipeline.system import clock
from timestore_pipeline.system.legible import is_text

_LONGEST_KEY = 512  # characters
_INSTANT = 16  # hexadecimal digits of an id: microseconds since the Unix epoch


class BatchState(StrEnum):
    """Where a batch is; every accepted batch is in exactly one of these."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    PUBLISHED = "published"
    QUARANTINED = "quarantined"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Volume:
    """An amount of staged data."""

    batches: int = 0
    rows: int = 0
    bytes: int = 0  # Arrow bytes as handed over, not file size

    def __add__(self, other: Volume) -> Volume:
        return Volume(self.batches + other.batches, self.rows + other.rows, self.bytes + other.bytes)

    def __sub__(self, other: Volume) -> Volume:
        return Volume(self.batches - other.batches, self.rows - other.rows, self.bytes - other.bytes)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a batch is durable: it survives `kill -9` and power loss and will be published exactly once.

    Attributes:
        batch_id: Unique among all batches of all hosts. Empty: neither rows nor the type of a column were staged.
        dataset: Its name.
        rows: Number of rows.
        bytes: Size as Arrow data, not as a file.
        staged_at: When it became durable, in UTC.
        duplicate: The idempotency key was known: this is the first call's batch, and nothing was staged again.
        decided: Over HTTP, what a dataset's first batch decided: `time_column`, `granularity`, `columns`; else None.
        warnings: Over HTTP, interpretations of text that the producer may not expect.
    """

    batch_id: str
    dataset: str
    rows: int
    bytes: int
    staged_at: datetime
    duplicate: bool
    decided: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """One batch of a segment file or journal, ready for its ledger row."""

    batch_id: str
    sequence: int  # its position in its segment, where it marks the batch's rows, or among its dataset's in a journal
    rows: int
    bytes: int
    staged_at: datetime
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Extent:
    """The range of one int64 or decimal leaf."""

    digits: int = 0  # largest number of digits before the decimal point
    doubles: bool = True  # every number is exactly representable as a double

    def __or__(self, other: Extent) -> Extent:
        return Extent(max(self.digits, other.digits), self.doubles and other.doubles)


Extents = Mapping[str, Extent]  # by path, such as `o.marks[]`; absent = no value but null


def batch_id(stream_id: str, sequence: int) -> str:
    """The id of a batch, assigned when it is first written; the batch keeps it when its rows are moved.

    stream_id: of the dataset's batches in one journal. They are numbered consecutively, so a commit names many of them
    as a range.
    """
    return f"{stream_id}-{sequence:06d}"


def stream_and_number(identity: str) -> tuple[str, int]:
    """What `batch_id` made it of; of a damaged id, -1 as its number."""
    stream_id, _, number = identity.rpartition("-")
    return stream_id, int(number) if number.isdecimal() else -1


def check_idempotency_key(key: str) -> None:
    """Check a key before its batch is queued: one that the ledger cannot hold would fail a whole group commit.

    Raises `InvalidInput`.
    """
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY or not is_text(key):
        raise InvalidInput(
            f"an idempotency key is a text of 1 to {_LONGEST_KEY} characters, this one is {key!r:.80}",
            hint="hash long keys before you pass them",
        )


def check_max_wait(wait: object) -> None:
    """Check the type at once: a number of seconds would otherwise fail only when the queue is full.

    Raises `InvalidInput`.
    """
    if not isinstance(wait, timedelta):
        raise InvalidInput(f"max_wait is {wait!r:.80}, not a timedelta", hint="such as max_wait=timedelta(seconds=5)")


def new_id() -> str:
    """An id of a journal or a segment; sorts by creation time, and the random part keeps processes apart."""
    return f"{clock.to_micros(clock.now()):0{_INSTANT}x}{uuid.uuid4().hex[:8]}"


def begun_at(staged_id: str) -> datetime | None:
    """The instant at which the id was made; None = it is not an id of this product."""
    try:
        return clock.from_micros(int(staged_id[:_INSTANT], 16))
    except (ValueError, OverflowError):
        return None


class IncidentKind(StrEnum):
    """What was quarantined."""

    BATCH = "batch"  # its rows can be read but not published; the segment stays in place
    SEGMENT = "segment"  # the file is damaged or missing; it was moved to the quarantine folder
    RECORD = "record"  # of a journal that is damaged there or missing; the journal stays in place


class IncidentReason(StrEnum):
    """Why; also the label of the counter."""

    POISON = "poison"  # exports fail with this batch and succeed without it
    DAMAGED = "damaged"  # the file cannot be read, or holds other rows than were acknowledged
    MISSING = "missing"  # the file does not exist


class Resolution(StrEnum):
    """How an operator, or a later incident, resolved it."""

    REQUEUED = "requeued"
    DISCARDED = "discarded"
    SUPERSEDED = "superseded"  # the segment of a poisonous batch was damaged later: that incident holds the batch now


@dataclass(frozen=True, slots=True)
class Incident:
    """`volume`: all its batches, in any state now; published ones are pruned in time."""

    incident_id: int
    dataset: str
    kind: IncidentKind
    segment_id: str
    reason: IncidentReason
    error: str
    opened_at: datetime
    volume: Volume
    resolution: Resolution | None = None  # None = open
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IncidentBatch:
    """A batch of an incident and where it is now."""

    batch: StagedBatch
    segment_id: str
    state: BatchState
    attempts: int  # flushes that failed with it


@dataclass(frozen=True, slots=True)
class Damage:
    """The result of examining a segment. Batches are named by their position in the segment."""

    reason: IncidentReason
    error: str
    salvaged_to: str | None = None  # a new segment that holds copies of `salvaged`; None = no batch could be read
    salvaged: Mapping[int, int] = field(default_factory=dict)  # sequence in the old segment -> rows; same in the new

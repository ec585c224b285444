"""An incident: a batch or a segment that was set aside so that the rest of its dataset goes on. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from timestore_pipeline.model.batch import BatchState, StagedBatch, Volume


class IncidentKind(StrEnum):
    """What was set aside."""

    BATCH = "batch"  # its rows can be read and not be published; the segment stays where it is
    SEGMENT = "segment"  # the file is damaged or gone; it was moved to the quarantine folder
    RECORD = "record"  # of a journal, which is damaged there or gone; the journal is kept where it is


class IncidentReason(StrEnum):
    """Why; also the label of the counter."""

    POISON = "poison"  # exports fail with this batch and succeed without it
    DAMAGED = "damaged"  # the file cannot be read, or holds other rows than were acknowledged
    MISSING = "missing"  # the file is gone


class Resolution(StrEnum):
    """How an operator, or a later incident, ended it."""

    REQUEUED = "requeued"
    DISCARDED = "discarded"
    SUPERSEDED = "superseded"  # the segment of a poisonous batch was damaged later: that incident holds the batch now


@dataclass(frozen=True, slots=True)
class Incident:
    """`volume`: its batches, whatever became of them since; published ones are forgotten in time."""

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
    """What an examination of a segment came to. Batches are named by their position in the segment."""

    reason: IncidentReason
    error: str
    salvaged_to: str | None = None  # a new segment that holds copies of `salvaged`; None = nothing could be read
    salvaged: Mapping[int, int] = field(default_factory=dict)  # sequence in the old segment -> rows; same in the new

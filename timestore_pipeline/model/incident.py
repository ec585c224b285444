"""An incident: a batch or a segment in quarantine, so that the rest of its dataset is published. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from timestore_pipeline.model.batch import BatchState, StagedBatch, Volume


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

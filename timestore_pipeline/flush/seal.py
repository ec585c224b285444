"""Getting a dataset's open segments sealed before a claim.

A live writer is asked through a flag in the ledger and answers within tens of milliseconds. A dead writer's segment
is taken over: its log replays. An owner that lives but does not answer keeps its batches pending and is named; it
blocks nobody else.

Who takes a segment over becomes its owner first. So of several that try, one replays it, and one that is stopped in the
middle keeps it: were it to wake up after the segment was published and unlinked, it would make the file anew. One
that dies in the middle is a dead owner like any other. A segment that turns out to be damaged is set aside, and what
can be read of it is in the next claim.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import timedelta

from timestore_pipeline import clock
from timestore_pipeline.errors import AccessDenied, DiskFailing, Fenced, RetryLater, UnreadableSegment
from timestore_pipeline.model.incident import Incident
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.segments import SegmentRecord
from timestore_pipeline.staging.quarantine import set_aside_if_damaged

_POLL = 0.01  # seconds

TakeOver = Callable[[StagingArea, SegmentRecord], Incident | None]  # an incident when it had to be set aside

# DuckDB's file lock keeps other processes out but not another DuckDB instance of this one.
_taking_over = threading.Lock()


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A segment that a claim has to leave out, and why."""

    segment_id: str
    reason: str
    refused: AccessDenied | None = None  # None = time may cure it


@dataclass(frozen=True, slots=True)
class SealRequest:
    """Which segments' owners were asked to seal, per dataset, and until when they are waited for."""

    segments: Mapping[str, Set[str]]
    deadline: float  # of the monotonic clock, seconds


@dataclass(slots=True)
class Sealing:
    """What came of the open segments that are not sealed now."""

    unsealed: dict[str, Unsealed] = field(default_factory=dict)  # by segment id
    set_aside: list[Incident] = field(default_factory=list)  # damaged ones


def ask_to_seal(area: StagingArea, datasets: Sequence[str], timeout: timedelta) -> SealRequest:
    """Ask all owners at once: one that hangs, with a segment in each of many datasets, is waited for once.

    Which segments is read before they are asked: one that is opened in between must not be waited for unasked.
    """
    names = {name: frozenset(s.segment_id for s in area.ledger.segments.open_segments(name)) for name in datasets}
    area.ledger.segments.request_seal(*datasets)
    return SealRequest(names, clock.monotonic() + timeout.total_seconds())


def seal_segments(area: StagingArea, dataset: str, request: SealRequest, take_over: TakeOver | None = None) -> Sealing:
    """Have every segment of the dataset that was asked for sealed, as far as that can be done.

    take_over: of a dead writer's segment; None = and set it aside when it is damaged.
    """
    asked, deadline = request.segments.get(dataset, frozenset()), request.deadline
    sealing = Sealing()
    while waiting := _still_open(area, dataset, asked - sealing.unsealed.keys()):
        _take_over_orphans(area, waiting, sealing, take_over or _take_over_or_set_aside)
        if clock.monotonic() >= deadline:
            silent = _still_open(area, dataset, {segment.segment_id for segment in waiting} - sealing.unsealed.keys())
            sealing.unsealed |= {segment.segment_id: _unanswered(segment) for segment in silent}
            break
        clock.sleep(_POLL)
    return sealing


def take_over_dead(area: StagingArea, dataset: str) -> tuple[list[str], Sealing]:
    """Take over the segments of writers that are gone; returns the ids of those, and what became of the others."""
    asked = area.ledger.segments.open_segments(dataset)
    dead = [segment for segment in asked if not area.identity.is_alive(segment.owner)]
    sealing = Sealing()
    _take_over_orphans(area, dead, sealing, _take_over_or_set_aside)
    others = sealing.unsealed.keys() | {incident.segment_id for incident in sealing.set_aside}
    return [s.segment_id for s in dead if s.segment_id not in others], sealing


def _still_open(area: StagingArea, dataset: str, asked: Set[str]) -> list[SegmentRecord]:
    """Only what was open when asked: a busy writer opens its next segment at once, which is the next flush's."""
    return [segment for segment in area.ledger.segments.open_segments(dataset) if segment.segment_id in asked]


def _take_over_orphans(area: StagingArea, waiting: list[SegmentRecord], sealing: Sealing, take_over: TakeOver) -> None:
    for segment in waiting:
        if area.identity.is_alive(segment.owner):
            continue
        with _taking_over:
            incident = _take_over_or_name(area, segment, sealing, take_over)
        if incident is not None:
            sealing.set_aside.append(incident)


def _take_over_or_name(
    area: StagingArea, segment: SegmentRecord, sealing: Sealing, take_over: TakeOver
) -> Incident | None:
    """A segment that cannot be had now, for a reason that is not in the file, must not keep the others waiting."""
    if not area.ledger.segments.adopt(segment.segment_id, area.identity.process_id, segment.owner):
        return None  # someone else has it by now
    try:
        return take_over(area, replace(segment, owner=area.identity.process_id))
    except Fenced:
        return None
    except BaseException as error:
        area.ledger.segments.disown(segment.segment_id)
        if not isinstance(error, (RetryLater, AccessDenied)):
            raise
        refused = error if isinstance(error, AccessDenied) else None
        sealing.unsealed[segment.segment_id] = Unsealed(segment.segment_id, str(error), refused)
        return None


def take_over_segment(area: StagingArea, segment: SegmentRecord) -> None:
    """Make a dead writer's segment, which this process has adopted, a sealed one.

    Raises `UnreadableSegment`, `DiskFailing` or another `RetryLater`; the segment is then as it was.
    """
    path = area.directory.segment(segment.dataset, segment.segment_id)
    promised = area.ledger.batches.promised(segment.segment_id)
    with segments.translated(path, segment.dataset):
        unfinished = not promised and not path.exists()
        if unfinished:
            segments.remove(path)  # its writer died while building it: nothing was ever promised from it
    if unfinished:
        area.ledger.segments.forget([segment.segment_id])
        return
    segments.replay(path, segment.dataset, promised)
    area.ledger.segments.mark_sealed(segment.segment_id)


def _take_over_or_set_aside(area: StagingArea, segment: SegmentRecord) -> Incident | None:
    try:
        take_over_segment(area, segment)
    except UnreadableSegment as error:
        return set_aside_if_damaged(area, segment, unusable=str(error))
    except DiskFailing:
        if (incident := set_aside_if_damaged(area, segment)) is not None:
            return incident
        raise
    return None


def _unanswered(segment: SegmentRecord) -> Unsealed:
    return Unsealed(segment.segment_id, f"its owner, process {segment.owner}, lives but did not seal it in time")

"""Getting a dataset's open segments sealed before a claim.

A live writer is asked through a flag in the ledger and answers within tens of milliseconds. A dead writer's segment
is taken over: its log replays. An owner that lives but does not answer keeps its batches pending and is named; it
blocks nobody else.

Who takes a segment over becomes its owner first. So of several that try, one replays it, and one that is stopped in the
middle keeps it: were it to wake up after the segment was published and unlinked, it would make the file anew. One
that dies in the middle is a dead owner like any other.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta

from timestore_pipeline import clock
from timestore_pipeline.errors import Corrupted, RetryLater
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.segments import SegmentRecord

_POLL = 0.01  # seconds

# DuckDB's file lock keeps other processes out but not another DuckDB instance of this one.
_taking_over = threading.Lock()


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A segment that a claim has to leave out, and why."""

    segment_id: str
    reason: str


def seal_segments(area: StagingArea, dataset: str, timeout: timedelta) -> list[Unsealed]:
    """Have every open segment of the dataset sealed; returns those that could not be."""
    area.ledger.segments.request_seal(dataset)
    asked = {segment.segment_id for segment in area.ledger.segments.open_segments(dataset)}
    deadline = clock.monotonic() + timeout.total_seconds()
    refused: dict[str, Unsealed] = {}
    while waiting := _still_open(area, dataset, asked - refused.keys()):
        refused |= _take_over_orphans(area, waiting)
        if clock.monotonic() >= deadline:
            return [
                *refused.values(),
                *(_unanswered(segment) for segment in waiting if segment.segment_id not in refused),
            ]
        clock.sleep(_POLL)
    return list(refused.values())


def take_over_dead(area: StagingArea, dataset: str) -> tuple[list[str], list[Unsealed]]:
    """Take over the segments of writers that are gone; returns the ids of those, and the ones that cannot be read."""
    asked = area.ledger.segments.open_segments(dataset)
    dead = [segment for segment in asked if not area.identity.is_alive(segment.owner)]
    refused = _take_over_orphans(area, dead)
    return [s.segment_id for s in dead if s.segment_id not in refused], list(refused.values())


def _still_open(area: StagingArea, dataset: str, asked: set[str]) -> list[SegmentRecord]:
    """Only what was open when asked: a busy writer opens its next segment at once, which is the next flush's."""
    return [segment for segment in area.ledger.segments.open_segments(dataset) if segment.segment_id in asked]


def _take_over_orphans(area: StagingArea, waiting: list[SegmentRecord]) -> dict[str, Unsealed]:
    refused = {}
    for segment in waiting:
        if area.identity.is_alive(segment.owner):
            continue
        with _taking_over:
            problem = _take_over(area, segment)
        if problem is not None:
            refused[segment.segment_id] = problem
    return refused


def _take_over(area: StagingArea, segment: SegmentRecord) -> Unsealed | None:
    path = area.directory.segment(segment.dataset, segment.segment_id)
    if not area.ledger.segments.adopt(segment.segment_id, area.identity.process_id, segment.owner):
        return None  # someone else has it by now
    promised = area.ledger.batches.promised(segment.segment_id)
    if not path.exists() and not promised:
        segments.remove(path)  # its writer died while building it: nothing was ever promised from it
        area.ledger.segments.forget([segment.segment_id])
        return None
    try:
        segments.replay(path, segment.dataset, promised)
    except BaseException as error:
        area.ledger.segments.disown(segment.segment_id)
        if isinstance(error, (Corrupted, RetryLater)):
            return Unsealed(segment.segment_id, str(error))
        raise
    area.ledger.segments.mark_sealed(segment.segment_id)
    return None


def _unanswered(segment: SegmentRecord) -> Unsealed:
    return Unsealed(segment.segment_id, f"its owner, process {segment.owner}, lives but did not seal it in time")

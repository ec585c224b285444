"""Having the open segments sealed that a query has to see: those that were open when it began.

A living writer is asked as by a flush, and a dead one's segment is taken over as by a flush. But what is damaged stays
as it is: setting it aside decides what its rows become, and a query decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from timestore_pipeline.errors import DiskFailing, RetryLater, TimestoreError, UnreadableSegment
from timestore_pipeline.flush.seal import Unsealed, ask_to_seal, seal_segments, take_over_segment
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.segments import SegmentRecord


@dataclass(slots=True)
class Sealed:
    """What could not be sealed, by segment id."""

    silent: dict[str, Unsealed] = field(default_factory=dict)  # their owners live and do not answer, or cannot be asked
    damaged: dict[str, TimestoreError] = field(default_factory=dict)


def seal_for_reading(area: StagingArea, datasets: Sequence[str], timeout: timedelta) -> Sealed:
    """Wait until every segment of the datasets that is open now is sealed, or the time is up."""
    request = ask_to_seal(area, datasets, timeout)
    found = Sealed()
    for dataset in datasets:
        taking = _TakeOver()
        unsealed = seal_segments(area, dataset, request, taking).unsealed
        found.damaged |= taking.errors
        found.silent |= {name: left for name, left in unsealed.items() if name not in taking.errors}
    return found


class _TakeOver:
    """Takes a segment over, or keeps the error and lets go of it."""

    def __init__(self) -> None:
        self.errors: dict[str, TimestoreError] = {}

    def __call__(self, area: StagingArea, segment: SegmentRecord) -> None:
        try:
            take_over_segment(area, segment)
        except (UnreadableSegment, DiskFailing) as error:
            self.errors[segment.segment_id] = error
            raise RetryLater(str(error), dataset=segment.dataset) from error  # the next flush looks at it again

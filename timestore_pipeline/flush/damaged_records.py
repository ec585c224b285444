"""Records of a claim that cannot be read: damaged or missing ones are set aside, the rest of the claim is published.

Each step is one ledger transaction, after which the claim is smaller. The journals stay where they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from timestore_pipeline.errors import TimestoreError, UnreadableSegment
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.model.incident import IncidentReason
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal_reader import JournalReader, reading_failed

_log = logging.getLogger(__name__)


def remove_unreadable_records(area: StagingArea, ref: FlushRef) -> bool:
    """Make the claim smaller by what cannot be read of it; False when every record can be.

    What the system cannot read now goes back to the queue. Raises its error when that is all of the claim, and `Fenced`
    when the claim is no longer this process's.
    """
    found = _unreadable(area, ref)
    owner = area.identity.process_id
    for reason, culprits in found.lost.items():
        for incident_id in area.ledger.quarantine.claimed_records(ref, culprits, reason, owner):
            error = area.ledger.incidents.get(incident_id).error
            _log.warning("dataset %s: batches were set aside as incident %d: %s", ref.dataset, incident_id, error)
    if found.failing is not None and len(found.unread) == area.ledger.flushes.get(ref).volume.batches:
        raise found.failing
    if found.unread:
        released = area.ledger.quarantine.release(ref, found.unread, owner)
        _log.warning("dataset %s: %d batches stay pending: %s", ref.dataset, released, found.failing)
    return bool(found.unread or any(found.lost.values()))


@dataclass(slots=True)
class _Unreadable:
    lost: Mapping[IncidentReason, dict[str, str]] = field(
        default_factory=lambda: {IncidentReason.DAMAGED: {}, IncidentReason.MISSING: {}}
    )  # batch id -> what is wrong with it
    unread: list[str] = field(default_factory=list)  # batch ids
    failing: TimestoreError | None = None  # the system's error for them


def _unreadable(area: StagingArea, ref: FlushRef) -> _Unreadable:
    found = _Unreadable()
    with JournalReader(area.directory.journal) as journals:
        for place in area.ledger.journals.of_flush(ref):
            ids = [batch.batch_id for batch in place.batches]
            try:
                journals.read(place, ref.dataset)
            except UnreadableSegment as error:
                found.lost[IncidentReason.DAMAGED].update(dict.fromkeys(ids, str(error)))
            except OSError as error:
                problem = reading_failed(error, journals.path_of(place.journal_id), ref.dataset)
                if isinstance(problem, UnreadableSegment):
                    found.lost[IncidentReason.MISSING].update(dict.fromkeys(ids, str(problem)))
                else:
                    found.unread += ids
                    found.failing = problem
    return found

"""An export that gets rid of what it cannot publish: damaged files and batches whose values do not fit the table at
once, poisonous batches after some failures.

Whatever is set aside leaves the claim in one ledger transaction, and the rest is exported in the same flush. Dead
anywhere in between: a smaller claim, interrupted like any other. Of journals, damaged or missing records are set aside;
the journals stay where they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from timestore_pipeline.errors import (
    AllSetAside,
    Conflict,
    DiskFailing,
    InvalidInput,
    OutcomeUnknown,
    RetryLater,
    TimestoreError,
    UnreadableSegment,
    UnreadableTable,
)
from timestore_pipeline.flush.attach import RowsUnfit
from timestore_pipeline.flush.export import ExportOptions, export_claim
from timestore_pipeline.flush.isolate import NOT_THE_DATA, isolate_poison
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.batch import Incident, IncidentReason
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.model.lake import ExportedFile
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import JournalReader, reading_failed
from timestore_pipeline.staging.quarantine import set_aside_if_damaged

_log = logging.getLogger(__name__)

# Flushes of a batch that failed before its claim is searched: a passing cause must not quarantine a batch.
ATTEMPTS_BEFORE_ISOLATION = 2

_MOST_TOLD = 20  # culprits of one flush in the log; the ledger has all
_MOST_ROUNDS = (
    5  # damage, then poison, then damage that only shows now; more would be a file that decays during the export
)
_NOTHING_TO_SET_ASIDE = (RetryLater, InvalidInput, Conflict, OutcomeUnknown, UnreadableTable)


def export_relieved(area: StagingArea, lake: Lake, ref: FlushRef, options: ExportOptions) -> Sequence[ExportedFile]:
    """Export the claim without what had to be set aside.

    Raises `AllSetAside` when nothing is left, which ends the flush; `Fenced` when the claim has ended; else what the
    export raised.
    """
    for _ in range(_MOST_ROUNDS):
        try:
            return export_claim(area, lake, ref, options)
        except RowsUnfit as unfit:
            ids = area.ledger.batches.of_flush(ref)
            _set_aside(area, ref, {ids[place]: error for place, error in unfit.culprits.items()})
        except TimestoreError as error:
            if not _may_be_in_the_files(error) or not _relieve(area, lake, ref, options, error):
                raise
        _refuse_empty(area, ref)
    return export_claim(area, lake, ref, options)


def _may_be_in_the_files(error: TimestoreError) -> bool:
    """A failing disk may have failed for good at one place of one file."""
    return isinstance(error, DiskFailing) or not isinstance(error, _NOTHING_TO_SET_ASIDE)


def _relieve(area: StagingArea, lake: Lake, ref: FlushRef, options: ExportOptions, error: TimestoreError) -> bool:
    """Make the claim smaller; False when there is no reason to. The files are examined after any error."""
    if any([_damaged(area, ref), remove_unreadable_records(area, ref)]):
        return True
    if isinstance(error, NOT_THE_DATA) or area.ledger.batches.most_attempts(ref) < ATTEMPTS_BEFORE_ISOLATION:
        return False
    verdict = isolate_poison(area, lake, ref, options)
    _set_aside(area, ref, verdict.culprits)
    if verdict.culprits and verdict.unresolved:
        area.ledger.quarantine.release(ref, verdict.unresolved, area.identity.process_id)
    return bool(verdict.culprits)


def _set_aside(area: StagingArea, ref: FlushRef, culprits: Mapping[str, str]) -> None:
    """culprits: batch id -> error."""
    for incident_id in area.ledger.quarantine.batches(ref, culprits, area.identity.process_id)[:_MOST_TOLD]:
        incident = area.ledger.incidents.get(incident_id)
        _log.warning("dataset %s: a batch was set aside as incident %d: %s", ref.dataset, incident_id, incident.error)


def _damaged(area: StagingArea, ref: FlushRef) -> list[Incident]:
    found = []
    for segment_id in area.ledger.flushes.claimed_segments(ref):
        segment = area.ledger.segments.get(segment_id)
        incident = None if segment is None else set_aside_if_damaged(area, segment)
        found += [] if incident is None else [incident]
    return found


def _refuse_empty(area: StagingArea, ref: FlushRef) -> None:
    reason = "everything it held was set aside"
    if area.ledger.flushes.end_if_empty(ref, reason):
        raise AllSetAside(
            f"flush {ref.epoch} of dataset {ref.dataset!r} published nothing: {reason}",
            dataset=ref.dataset,
            hint=f"`timestore quarantine list {ref.dataset}` lists the batches with the reasons; nothing was deleted",
        )


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

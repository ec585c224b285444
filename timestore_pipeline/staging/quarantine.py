"""Quarantine of damaged segments, and an operator's decisions about it. Nothing is deleted without one.

Order, so that every crash is boring: the whole batches are copied into a new segment; then one ledger transaction
points them at it, quarantines the others and marks the old segment; then the old file is moved out of the way.
- Dead before the transaction: a new segment from which nothing is promised, which the next flush drops.
- Dead after it: a file that lies in the wrong folder, which the next flush or `timestore recover` moves.
Where a file belongs follows from the ledger alone, so moves can be repeated, finished and reverted by anyone.
"""

from __future__ import annotations

import logging
from pathlib import Path

from timestore_pipeline.errors import UnreadableSegment
from timestore_pipeline.model.batch import Damage, Incident, IncidentKind, IncidentReason, StagedBatch, new_id
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.directory import move_durably
from timestore_pipeline.staging.journal import JournalReader
from timestore_pipeline.staging.ledger.segment_rows import SegmentRecord
from timestore_pipeline.staging.roll_up import drop_unowed, remove_idle_journals
from timestore_pipeline.staging.salvage import Examination, copy_whole, examine
from timestore_pipeline.staging.system_errors import system_error
from timestore_pipeline.system.durable import sync

_log = logging.getLogger(__name__)

_REPAIR = "repair that file or put a copy from a backup in its place, then requeue again; or discard it"


def set_aside_if_damaged(area: StagingArea, segment: SegmentRecord, *, unusable: str = "") -> Incident | None:
    """Examine a segment that this process took over, or whose batches it has claimed; None when all can be read.

    unusable: what makes the file useless although it may be readable; then all of it is moved to a new segment.
    Raises `Fenced` when another process was faster, `RetryLater` and `AccessDenied`, after which nothing has changed.
    """
    put_in_place(area, segment.dataset)
    path = area.directory.segment(segment.dataset, segment.segment_id)
    owed = area.ledger.batches.owed(segment.segment_id)
    found = examine(path, segment.dataset, segment.segment_id, {batch.sequence: batch.rows for batch in owed})
    if not found.error and not unusable:
        return None
    incident = _set_aside(area, segment, found, owed, found.error or unusable)
    _log.warning(
        "dataset %s: segment %s was set aside as incident %d: %s",
        segment.dataset, segment.segment_id, incident.incident_id, incident.error,
    )  # fmt: skip
    put_in_place(area, segment.dataset)
    return incident


def put_in_place(area: StagingArea, dataset: str) -> None:
    """Move files to where the ledger says they belong: moves that were left half done.

    Raises `DiskFull` or `AccessDenied` when a file that is needed cannot be moved back.
    """
    for displaced in area.ledger.incidents.displaced(dataset):
        among = area.directory.segment(dataset, displaced.segment_id)
        aside = area.directory.quarantined(dataset, displaced.segment_id)
        if displaced.quarantined:
            _move_aside(among, aside)
        else:
            with segments.translated(aside, dataset):
                if not among.exists() and aside.exists():
                    move_durably(aside, among)


def _move_aside(among: Path, aside: Path) -> None:
    """A quarantined segment is never read, so it does no harm where it is."""
    try:
        if among.exists():
            move_durably(among, aside)
    except OSError as error:
        _log.warning("%s could not be moved to %s yet: %s", among, aside.parent, error)


def requeue(area: StagingArea, incident_id: int) -> bool:
    """Give the incident's batches back to the queue; False when that was done already.

    The segment's or the journal's file must hold all of them: repaired where it lies, or put back in its place. Raises
    `UnreadableSegment` when it does not, `UnknownIncident`, and `Fenced` when the incident ended otherwise.
    """
    incident = area.ledger.incidents.get(incident_id)
    require = _REQUIRED.get(incident.kind)
    if require is not None and incident.resolution is None:
        try:
            require(area, incident)
        except UnreadableSegment:
            if area.ledger.incidents.get(incident_id).resolution is None:
                raise  # otherwise its file was moved while we looked, because another operator has decided
    done = area.ledger.incidents.requeue(incident_id)
    put_in_place(area, incident.dataset)
    return done


def discard(area: StagingArea, incident_id: int) -> bool:
    """Give the incident's batches up and free their space; False when that was done already.

    A file with other batches stays until those are done. Raises `UnknownIncident`, and `Fenced` when the incident ended
    otherwise.
    """
    incident = area.ledger.incidents.get(incident_id)
    done = area.ledger.incidents.discard(incident_id)
    remove_given_up(area, incident.dataset)
    area.remove_drained_segments(incident.dataset)
    remove_idle_journals(area)
    return done


def remove_given_up(area: StagingArea, dataset: str) -> None:
    """Unlink quarantined files that an operator has given up; files first, then their rows.

    A file that cannot be unlinked does not matter: the next recovery tries again.
    """
    removed = [name for name in area.ledger.incidents.given_up(dataset) if _is_removed(area, dataset, name)]
    if removed:
        area.ledger.segments.forget(removed)


def _is_removed(area: StagingArea, dataset: str, segment_id: str) -> bool:
    try:
        for path in (area.directory.quarantined(dataset, segment_id), area.directory.segment(dataset, segment_id)):
            segments.remove(path)
            if path.parent.is_dir():
                sync(path.parent)
    except OSError as error:
        _log.warning("dataset %s: segment %s was given up and cannot be removed yet: %s", dataset, segment_id, error)
        return False
    return True


def quarantined_file(area: StagingArea, incident: Incident) -> Path | None:
    """Where the incident's file lies now; None = there is none, or the segment is in use."""
    if incident.kind is IncidentKind.SEGMENT:
        file = area.directory.quarantined(incident.dataset, incident.segment_id)
    else:  # a batch that could not be rolled up lies in a journal, too
        file = area.directory.journal(incident.segment_id)
    return file if file.exists() else None


def _set_aside(
    area: StagingArea, segment: SegmentRecord, found: Examination, owed: list[StagedBatch], error: str
) -> Incident:
    """Copy, then the transaction; a copy whose transaction is refused belongs to no batch."""
    me = area.identity.process_id
    exists = area.directory.segment(segment.dataset, segment.segment_id).exists()
    reason = IncidentReason.DAMAGED if exists else IncidentReason.MISSING
    copy = _salvage(area, segment, found, owed)
    salvaged = {sequence: rows for sequence, (rows, _) in found.whole.items()} if copy else {}
    try:
        damage = Damage(reason, error, copy, salvaged)
        return area.ledger.incidents.get(area.ledger.quarantine.segment(segment.segment_id, damage, me))
    except BaseException:
        if copy is not None:
            drop_unowed(area, segment.dataset, copy)
        raise


def _salvage(area: StagingArea, segment: SegmentRecord, found: Examination, owed: list[StagedBatch]) -> str | None:
    """The id of a segment with the whole batches; None when there are none, or they could not be copied."""
    if not found.whole:
        return None
    dataset, copy = segment.dataset, new_id()
    dataset_id = area.ledger.datasets.get(dataset).dataset_id
    area.ledger.segments.register(copy, dataset_id, area.identity.process_id)
    source, target = area.directory.segment(dataset, segment.segment_id), area.directory.segment(dataset, copy)
    try:
        copy_whole(source, target, dataset, found, [batch for batch in owed if batch.sequence in found.whole])
    except UnreadableSegment as error:
        _log.warning("nothing could be copied from segment %s: %s", segment.segment_id, error)
        drop_unowed(area, dataset, copy)
        return None
    except BaseException:
        drop_unowed(area, dataset, copy)
        raise
    return copy


def _require_whole(area: StagingArea, incident: Incident) -> None:
    among = area.directory.segment(incident.dataset, incident.segment_id)
    aside = area.directory.quarantined(incident.dataset, incident.segment_id)
    path = among if among.exists() else aside
    owed = {one.batch.sequence: one.batch.rows for one in area.ledger.incidents.batches(incident.incident_id)}
    found = examine(path, incident.dataset, incident.segment_id, owed)
    if found.error:
        raise UnreadableSegment(
            f"incident {incident.incident_id} stays open, {path} does not hold its batches: {found.error}",
            dataset=incident.dataset,
            hint=_REPAIR,
        )


def _require_records(area: StagingArea, incident: Incident) -> None:
    path = area.directory.journal(incident.segment_id)
    with JournalReader(area.directory.journal) as journals:
        for place in area.ledger.journals.set_aside(incident.incident_id):
            try:
                journals.read(place, incident.dataset)
            except (UnreadableSegment, OSError) as error:
                refused = system_error(error, str(path), incident.dataset) if isinstance(error, OSError) else None
                raise refused or UnreadableSegment(
                    f"incident {incident.incident_id} stays open, {path} does not hold its batches: {error}",
                    dataset=incident.dataset,
                    hint=_REPAIR,
                ) from error


_REQUIRED = {IncidentKind.SEGMENT: _require_whole, IncidentKind.RECORD: _require_records}  # of a file before a requeue

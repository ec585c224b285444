"""Rolling up: pending batches that lie in journals are written into new segments, in bulk, by any process at any time.

Order, so that every crash is boring: the segment is registered; its file is made, whole; then one ledger transaction
points the batches at it.
- Dead before the transaction: a segment from which nothing is owed, which the next roll-up or claim removes.
- Dead after it: done.
Two that roll up the same batches at once write two copies, and the transaction moves each batch to one of them.

A record that cannot be read as it was acknowledged costs its own batches only: they are set aside, and the journal
stays where it is. So are batches that DuckDB refuses.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from timestore_pipeline.errors import DiskFull, InvalidData, TimestoreError, UnreadableSegment
from timestore_pipeline.model.batch import IncidentKind, IncidentReason, StagedBatch, new_id
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import JournalReader, LeftOut, reading_failed
from timestore_pipeline.staging.journal_records import RecordLayout
from timestore_pipeline.staging.ledger.journals import RecordPlace
from timestore_pipeline.staging.segments import SegmentHeader, write_segment

_log = logging.getLogger(__name__)

_MOST_BATCHES = 10_000  # in a segment: the transaction that moves them keeps producers waiting a tenth of a second
_MEMORY_MB = 256  # DuckDB's, while it writes a segment
_PART_OF_FREE = 4  # a segment takes at most this part of what the disk has left, or a full one would stay full

_Rows = list[tuple[StagedBatch, pa.Table]]


@dataclass(slots=True)
class RollUp:
    """The result of a roll-up of one dataset."""

    segments: list[str] = field(default_factory=list)  # ids of those that were made
    incidents: list[int] = field(default_factory=list)  # for batches that were set aside
    left_out: dict[str, LeftOut] = field(default_factory=dict)  # by journal id
    full: DiskFull | None = None  # there was room for a part only; a flush of that part makes room for the rest


def roll_up(area: StagingArea, dataset: str, *, only: Collection[str] | None = None) -> RollUp:
    """Move every batch of the dataset that lies in a journal now into a segment.

    only: in these journals. Raises `RetryLater` other than for a full disk; what was moved by then is moved.
    """
    remove_unfinished(area, dataset)
    work = _Work(area, dataset)
    places = area.ledger.journals.waiting(dataset)
    try:
        with JournalReader(area.directory.journal) as journals:
            for place in places:
                if only is None or place.journal_id in only:
                    work.add(place, journals)
        work.finish()
    except DiskFull as error:
        work.done.full = error
    return work.done


def remove_idle_journals(area: StagingArea, *, of_the_dead: bool = True) -> int:
    """Unlink the journals from which nothing is owed and to which nothing is appended; returns how many.

    of_the_dead: also those that were never closed; to a ledger from a backup, one that has grown since looks like that.
    Files first, then their ledger rows. One that cannot be unlinked, or not for good, stays for the next time.
    """
    idle = idle_journals(area, of_the_dead=of_the_dead)
    removed = [journal_id for journal_id in idle if _is_unlinked(area, journal_id)]
    if not removed:
        return 0
    try:
        area.directory.sync_journals()
    except OSError as error:
        _log.warning("%s cannot be flushed yet, from which journals were removed: %s", area.directory.journals, error)
        return 0
    area.ledger.journals.forget(removed)
    return len(removed)


def idle_journals(area: StagingArea, *, of_the_dead: bool = True) -> list[str]:
    """Ids of the journals that `remove_idle_journals` would unlink."""
    rows = area.ledger.journals.all()
    ended = {row.journal_id for row in rows if row.closed or (of_the_dead and not area.identity.is_alive(row.owner))}
    idle = area.ledger.journals.idle()  # asked last: one may have ended with a promise
    return [row.journal_id for row in idle if row.journal_id in ended]


class _Work:
    """Gathers batches by the layout they were staged for, and writes a segment whenever there is enough for one."""

    def __init__(self, area: StagingArea, dataset: str) -> None:
        self.done = RollUp()
        self._area = area
        self._dataset = dataset
        self._most_bytes = min(area.segment_max_bytes, area.directory.volume().available // _PART_OF_FREE)
        self._gathered: dict[RecordLayout, _Rows] = {}
        self._bytes: dict[RecordLayout, int] = {}
        self._missing: dict[str, list[StagedBatch]] = {}  # by journal id: one incident each

    def add(self, place: RecordPlace, journals: JournalReader) -> None:
        if place.journal_id in self.done.left_out:
            return
        try:
            record, rows = journals.read(place, self._dataset)
        except UnreadableSegment as error:
            self._set_aside(IncidentKind.RECORD, place.batches, error, IncidentReason.DAMAGED)
        except FileNotFoundError:
            self._missing.setdefault(place.journal_id, []).extend(place.batches)
        except OSError as error:
            problem = reading_failed(error, self._area.directory.journal(place.journal_id), self._dataset)
            self.done.left_out[place.journal_id] = LeftOut.of(place.journal_id, problem)
        else:
            self._gather(record.layout, [(batch, rows[batch.batch_id]) for batch in place.batches])

    def finish(self) -> None:
        for layout in list(self._gathered):
            self._write(layout)
        for journal_id, batches in self._missing.items():
            path = self._area.directory.journal(journal_id)
            error = reading_failed(FileNotFoundError(), path, self._dataset)
            self._set_aside(IncidentKind.RECORD, batches, error, IncidentReason.MISSING)

    def _gather(self, layout: RecordLayout, batches: _Rows) -> None:
        gathered = self._gathered.setdefault(layout, [])
        for batch, rows in batches:
            gathered.append((batch, rows))
            self._bytes[layout] = self._bytes.get(layout, 0) + batch.bytes
            if self._bytes[layout] >= self._most_bytes or len(gathered) >= _MOST_BATCHES:
                self._write(layout)
                gathered = self._gathered.setdefault(layout, [])

    def _write(self, layout: RecordLayout) -> None:
        batches = self._gathered.pop(layout, [])
        self._bytes.pop(layout, None)
        if batches:
            self._write_some(layout, batches)

    def _write_some(self, layout: RecordLayout, batches: _Rows) -> None:
        """One refused batch must not keep the others out: what cannot be written together is written in halves."""
        try:
            segment_id = _make_segment(self._area, self._dataset, layout, batches)
        except InvalidData as error:
            if len(batches) > 1:
                self._write_some(layout, batches[: len(batches) // 2])
                self._write_some(layout, batches[len(batches) // 2 :])
            else:
                self._set_aside(IncidentKind.BATCH, [batches[0][0]], error, IncidentReason.POISON)
        else:
            self.done.segments += [segment_id] if segment_id else []

    def _set_aside(
        self, kind: IncidentKind, batches: Sequence[StagedBatch], error: TimestoreError, reason: IncidentReason
    ) -> None:
        culprits = {batch.batch_id: str(error) for batch in batches}
        incidents = self._area.ledger.quarantine.journaled(self._dataset, kind, culprits, reason)
        self.done.incidents += incidents
        for incident_id in incidents:
            _log.warning("dataset %s: batches were set aside as incident %d: %s", self._dataset, incident_id, error)


def _make_segment(area: StagingArea, dataset: str, layout: RecordLayout, batches: _Rows) -> str | None:
    """The id of a segment that the batches lie in now; None = each of them was moved or published meanwhile."""
    owed = area.ledger.journals.batches_waiting(
        dataset
    )  # another roll-up may have been faster, and making a segment is expensive
    batches = [(batch, rows) for batch, rows in batches if batch.batch_id in owed]
    if not batches:
        return None
    segment_id = new_id()
    path = area.directory.segment(dataset, segment_id)
    header = SegmentHeader(segment_id, area.shard, dataset, layout.schema, layout.time_column, layout.granularity)
    numbered = [(replace(batch, sequence=number), rows) for number, (batch, rows) in enumerate(batches)]
    area.ledger.segments.register(segment_id, area.ledger.datasets.get(dataset).dataset_id, area.identity.process_id)
    try:
        with area.engines.lend(_MEMORY_MB) as connection:
            write_segment(connection, path, header, numbered)
        moved = area.ledger.journals.move(segment_id, {batch.batch_id: batch.sequence for batch, _ in numbered})
    except BaseException:
        drop_unowed(area, dataset, segment_id)
        raise
    if not moved:
        drop_unowed(area, dataset, segment_id)
    return segment_id if moved else None


def drop_unowed(area: StagingArea, dataset: str, segment_id: str) -> None:
    """Remove a new segment from which nothing is owed; if that fails, the next roll-up of another process does it."""
    try:
        if not area.ledger.batches.in_segment(segment_id):
            segments.remove(area.directory.segment(dataset, segment_id))
            area.ledger.segments.forget([segment_id])
    except (TimestoreError, OSError) as error:
        _log.warning("segment %s is left behind: %s", segment_id, error)


def remove_unfinished(area: StagingArea, dataset: str) -> None:
    """Remove segments that a dead process did not finish."""
    for segment in area.ledger.segments.building(dataset):
        if not area.identity.is_alive(segment.owner):
            drop_unowed(area, dataset, segment.segment_id)


def _is_unlinked(area: StagingArea, journal_id: str) -> bool:
    try:
        area.directory.journal(journal_id).unlink(missing_ok=True)
    except OSError as error:
        _log.warning("journal %s is not needed any more and cannot be removed yet: %s", journal_id, error)
        return False
    return True

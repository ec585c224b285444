"""Every unpublished batch is in its segment or journal with all its rows, and the ledger lists every such file.

A record of a journal is read whole, and its checksum compared. The rows of a segment are counted; `deep` reads every
column of every row, so that DuckDB compares the checksum of each block. A file that disappears during the audit was
flushed: then none of its batches is unpublished.

Every file in quarantine has an incident, and every segment is where the ledger has it. Beside a flush that quarantines
a segment at this moment a move can look unfinished, so that is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from timestore_pipeline.errors import DiskFailing, RetryLater, TimestoreError, UnreadableSegment
from timestore_pipeline.model.sql_types import quote
from timestore_pipeline.recovery.findings import Finding
from timestore_pipeline.recovery.staged_files import datasets_in, unknown_journals
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import EnginePool
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.journal import JournalReader
from timestore_pipeline.staging.ledger.audit import LedgerFacts, SegmentFacts
from timestore_pipeline.staging.ledger.journals import RecordPlace
from timestore_pipeline.staging.segments import attach_sealed, translated

_ADOPTS = "`timestore recover` adopts it, or reports why it cannot; keep the file"
_KEEP_JOURNAL = "keep the journal; the next flush quarantines the batches that it cannot read"
_KEEP = "keep every file of the segment; a flush refuses to publish it as long as rows are missing"
_ADOPT = "`timestore recover` opens an incident for it; with --restored if the ledger is from a backup. Keep the file"
_MOVE = "the next flush finishes the move; `timestore verify --repair` does it now"


def audit_staged(
    area: StagingArea, dataset: str, facts: LedgerFacts, engines: EnginePool, *, deep: bool = False
) -> Iterator[Finding]:
    """Compare the dataset's segment files and journals with the batches that the ledger lists in them."""
    yield from _unknown_files(area, dataset)
    for segment in facts.segments:
        if segment.promised:
            yield from _segment_findings(area, dataset, segment, engines, deep)
    yield from _record_findings(area, dataset, facts.records)


def _unknown_files(area: StagingArea, dataset: str) -> Iterator[Finding]:
    """Files that the ledger does not list: it registers one before the file exists and until the file is gone."""
    for path in unknown_journals(area):
        if dataset in datasets_in(path):
            yield Finding("unknown_journal", f"the ledger does not list the journal {path}", _ADOPTS)
    for path in sorted(area.directory.segment_folder(dataset).glob("*.duckdb")):
        if not area.ledger.audit.is_known(path.stem) and path.exists():
            yield Finding("unknown_segment", f"the ledger does not list the segment file {path}", _ADOPTS)


def _record_findings(area: StagingArea, dataset: str, records: Sequence[RecordPlace]) -> Iterator[Finding]:
    with JournalReader(area.directory.journal) as journals:
        for place in records:
            try:
                journals.read(place, dataset)
            except (UnreadableSegment, OSError) as error:
                if area.ledger.journals.owes(place):
                    yield Finding(UnreadableSegment.code, str(error), _KEEP_JOURNAL)


def _segment_findings(
    area: StagingArea, dataset: str, segment: SegmentFacts, engines: EnginePool, deep: bool
) -> list[Finding]:
    path = area.directory.segment(dataset, segment.segment_id)
    try:
        with engines.lend() as engine:
            held = _rows_per_batch(engine, path, dataset, deep)
    except DiskFailing as error:
        return [Finding.of(error)]
    except RetryLater:
        return []  # another process has the file open at this moment
    except TimestoreError as error:
        return [Finding.of(error)] if area.ledger.audit.promises(segment.segment_id) else []
    unregistered = [] if segment.known else [_unregistered(segment)]
    return [*unregistered, *_missing_rows(area, path, segment, held)]


def _rows_per_batch(engine: duckdb.DuckDBPyConnection, path: Path, dataset: str, deep: bool) -> Mapping[int, int]:
    attach_sealed(engine, path, path.stem, dataset)
    with translated(path, dataset):
        [(found,)] = engine.execute(f"SELECT segment_id FROM {quote(path.stem)}.segment").fetchall()
        if found != path.stem:
            raise UnreadableSegment(f"file {path} holds another segment, {found}", dataset=dataset, hint=_KEEP)
        if deep:
            engine.execute(f"SELECT bit_xor(hash(r)) FROM {quote(path.stem)}.rows AS r").fetchall()
        query = f"SELECT {BATCH_COLUMN}, count(*) FROM {quote(path.stem)}.rows GROUP BY ALL"
        held = dict(engine.execute(query).fetchall())
        engine.execute(f"DETACH {quote(path.stem)}")
        return held


def _missing_rows(area: StagingArea, path: Path, segment: SegmentFacts, held: Mapping[int, int]) -> Iterator[Finding]:
    """Batches with missing rows, except those that were published or moved during the audit."""
    wrong = {sequence for sequence, promised in segment.promised.items() if held.get(sequence, 0) != promised}
    for batch in area.ledger.batches.owed(segment.segment_id) if wrong else ():
        if batch.sequence in wrong:
            found = held.get(batch.sequence, 0)
            text = f"batch {batch.batch_id} was acknowledged with {batch.rows} rows, {path} holds {found}"
            yield Finding("rows_missing", text, _KEEP)


def _unregistered(segment: SegmentFacts) -> Finding:
    text = f"{len(segment.promised)} batches are in segment {segment.segment_id}, which the ledger does not list"
    return Finding(
        "segment_unregistered", text, "no flush claims them before `timestore recover` has adopted the segment"
    )


def quarantine_problems(area: StagingArea, dataset: str) -> Iterator[Finding]:
    """An incident is opened before its file is moved, and stays for ever; so the ledger has lost a missing one."""
    for path in area.directory.quarantined_segments(dataset):
        if path.exists() and not area.ledger.segment_import.has_incident(path.stem):
            yield Finding("unknown_quarantined", f"the file {path} has no incident", _ADOPT)


def unfinished_moves(area: StagingArea, dataset: str) -> Iterator[Finding]:
    """Into quarantine, or back from it."""
    for displaced in area.ledger.incidents.displaced(dataset):
        segment = area.directory.segment(dataset, displaced.segment_id)
        quarantined = area.directory.quarantined(dataset, displaced.segment_id)
        if displaced.quarantined and segment.exists():
            yield Finding("move_unfinished", f"{segment} was quarantined and is still among the segments", _MOVE)
        if not displaced.quarantined and quarantined.exists() and not segment.exists():
            yield Finding("move_unfinished", f"{quarantined} was requeued and is still in quarantine", _MOVE)

"""Every batch that is still owed lies in its segment with all its rows, and every segment file is known.

Sealed segments and those of dead writers are read, the latter with their logs; an open one belongs to its writer.
`deep` reads every column of every row, which has DuckDB compare the checksum of each block. A segment that goes away
while we look was flushed: then nothing is owed from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from timestore_pipeline.audit.engines import Engines
from timestore_pipeline.audit.report import Finding, Unread
from timestore_pipeline.errors import RetryLater, TimestoreError, UnreadableSegment
from timestore_pipeline.model.batch import batch_id
from timestore_pipeline.model.columns import quote
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.ledger.audit import SegmentFacts
from timestore_pipeline.staging.segments import attach_sealed, translated

_KEEP = "keep every file of the segment; a flush refuses to publish it as long as rows are missing"


@dataclass(frozen=True, slots=True)
class StagedAudit:
    """What the segment files say."""

    problems: list[Finding]
    being_written: Unread
    waiting_for_takeover: Unread


def audit_staged(
    area: StagingArea, dataset: str, segments: Sequence[SegmentFacts], engines: Engines, *, deep: bool = False
) -> StagedAudit:
    """Compare the dataset's segment files with what the ledger promised from them."""
    problems = list(_unknown_files(area, dataset))
    writing, waiting = Unread(), Unread()
    for segment in segments:
        if not segment.promised:
            continue
        written = not segment.sealed and area.identity.is_alive(segment.owner)
        if written and _path(area, dataset, segment).exists():
            writing = writing.with_segment(segment.promised.values())
            continue
        problems += _segment_findings(area, dataset, segment, engines, deep)
        if not segment.sealed and _path(area, dataset, segment).exists():
            waiting = waiting.with_segment(segment.promised.values())
    return StagedAudit(problems, writing, waiting)


def _unknown_files(area: StagingArea, dataset: str) -> Iterator[Finding]:
    """A segment is registered before its file is made and forgotten after the file is gone."""
    for path in sorted(area.directory.segment_folder(dataset).glob("*.duckdb")):
        if not area.ledger.audit.is_known(path.stem) and path.exists():
            hint = "`timestore recover` adopts it, or says why it cannot; keep the file"
            yield Finding("unknown_segment", f"the ledger does not know the segment file {path}", hint)


def _segment_findings(
    area: StagingArea, dataset: str, segment: SegmentFacts, engines: Engines, deep: bool
) -> list[Finding]:
    path = _path(area, dataset, segment)
    try:
        with engines.lent() as engine:
            held = _rows_per_batch(engine, path, dataset, deep)
    except RetryLater:
        return []  # somebody takes it over at this moment, and counts
    except TimestoreError as error:
        return [Finding.of(error)] if area.ledger.audit.promises(segment.segment_id) else []
    unregistered = [] if segment.known else [_unregistered(segment)]
    return [*unregistered, *_missing_rows(path, segment, held)]


def _rows_per_batch(engine: duckdb.DuckDBPyConnection, path: Path, dataset: str, deep: bool) -> Mapping[int, int]:
    attach_sealed(engine, path, path.stem, dataset)
    with translated(path, dataset):
        [(told,)] = engine.execute(f"SELECT segment_id FROM {quote(path.stem)}.segment").fetchall()
        if told != path.stem:
            raise UnreadableSegment(f"segment {path} holds another one, {told}", dataset=dataset, hint=_KEEP)
        if deep:
            engine.execute(f"SELECT bit_xor(hash(r)) FROM {quote(path.stem)}.rows AS r").fetchall()
        query = f"SELECT {BATCH_COLUMN}, count(*) FROM {quote(path.stem)}.rows GROUP BY ALL"
        held = dict(engine.execute(query).fetchall())
        engine.execute(f"DETACH {quote(path.stem)}")
        return held


def _missing_rows(path: Path, segment: SegmentFacts, held: Mapping[int, int]) -> Iterator[Finding]:
    for sequence, promised in segment.promised.items():
        if held.get(sequence, 0) != promised:
            identity = batch_id(segment.segment_id, sequence)
            text = f"batch {identity} was acknowledged with {promised} rows, {path} holds {held.get(sequence, 0)}"
            yield Finding("rows_missing", text, _KEEP)


def _unregistered(segment: SegmentFacts) -> Finding:
    text = f"{len(segment.promised)} batches lie in segment {segment.segment_id}, which the ledger does not list"
    return Finding(
        "segment_unregistered", text, "no flush claims them before `timestore recover` has adopted the segment"
    )


def _path(area: StagingArea, dataset: str, segment: SegmentFacts) -> Path:
    return area.directory.segment(dataset, segment.segment_id)

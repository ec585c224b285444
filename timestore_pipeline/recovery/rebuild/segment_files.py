"""Enters segment files into the ledger: unlisted ones and, if it is an older copy, those whose batches it lacks.

The next flush quarantines damaged ones.
"""

from __future__ import annotations

from pathlib import Path

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.recovery.rebuild.reconciliation import LedgerContext, Reconciliation, Trust, Unadopted
from timestore_pipeline.staging.ledger.segment_import import FoundSegment
from timestore_pipeline.staging.segment_contents import SegmentContents, read_contents


def adopt_segments(area: LedgerContext, dataset: str, published: set[str], found: Reconciliation, trust: Trust) -> None:
    """Enter the dataset's segment files. published: ids of batches that are in the lake."""
    for path in unknown_segments(area, dataset) if trust is Trust.CURRENT else _not_set_aside(area, dataset):
        contents = contents_or_reason(area, path, dataset, found)
        if contents is not None:
            _adopt(area, path, contents, published, found)


def unknown_segments(area: LedgerContext, dataset: str) -> list[Path]:
    """Segments that the ledger does not list: it registers one before the file exists and until the file is gone."""
    return [path for path in _files(area, dataset) if not area.ledger.audit.is_known(path.stem) and path.exists()]


def contents_or_reason(area: LedgerContext, path: Path, dataset: str, found: Reconciliation) -> SegmentContents | None:
    """A file's contents; None if it is gone, or cannot be entered, which is added to `found.unadopted`."""
    try:
        contents = read_contents(path, dataset, area.engines)
    except TimestoreError as error:
        if path.exists():
            found.unadopted.append(Unadopted(path, str(error)))
        return None
    if contents.header.shard != area.shard:
        found.unadopted.append(Unadopted(path, f"it belongs to shard {contents.header.shard!r}"))
        return None
    return contents


def describe(area: LedgerContext, contents: SegmentContents) -> None:
    """Make sure that the ledger has the dataset, with the columns and the layout that the segment was written for."""
    header = contents.header
    area.ledger.datasets.ensure(header.dataset)
    area.ledger.log_import.describe(header.dataset, header.schema, header.time_column, header.granularity)


def has_file(area: LedgerContext, dataset: str, staged_id: str) -> bool:
    """Whether there is a segment or a journal of this id."""
    return area.directory.segment(dataset, staged_id).exists() or area.directory.journal(staged_id).exists()


def _files(area: LedgerContext, dataset: str) -> list[Path]:
    return sorted(area.directory.segment_folder(dataset).glob("*.duckdb"))


def _not_set_aside(area: LedgerContext, dataset: str) -> list[Path]:
    """Without files whose move to quarantine was interrupted: they belong to quarantine."""
    quarantined = area.ledger.segment_import.quarantined(dataset)
    return [path for path in _files(area, dataset) if path.stem not in quarantined]


def _adopt(
    area: LedgerContext, path: Path, contents: SegmentContents, published: set[str], found: Reconciliation
) -> None:
    describe(area, contents)
    dataset = contents.header.dataset
    segment = FoundSegment(dataset, path.stem, contents.batches, published)
    pending = area.ledger.segment_import.segment(segment, lambda other: has_file(area, dataset, other))
    if pending is not None:
        found.adopted.append(path.stem)
        found.pending += pending

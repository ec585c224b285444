"""Opens incidents for files in quarantine without one, because the ledger that had the incident was lost.

The incident gets the batches that can be read from the file; batches that are in another segment by now, or published,
do not count twice. An unreadable file becomes an incident without batches, for an operator to decide. The files are not
moved, and an operator who had discarded one before has to discard it again.
"""

from __future__ import annotations

from pathlib import Path

from timestore_pipeline.errors import AccessDenied, RetryLater, TimestoreError
from timestore_pipeline.recovery.rebuild.reconciliation import LedgerContext, Reconciliation, Trust, Unadopted
from timestore_pipeline.recovery.rebuild.segment_files import describe
from timestore_pipeline.staging.ledger.segment_import import FoundSegment
from timestore_pipeline.staging.segment_contents import SegmentContents, read_contents

_FOUND = "found in quarantine without an entry in the ledger; the reason for its quarantine is no longer known"


def unknown_quarantined(area: LedgerContext, dataset: str) -> list[Path]:
    """Files without an incident: one is opened before its file is moved, and stays in the ledger for ever."""
    ledger = area.ledger
    return [
        path
        for path in area.directory.quarantined_segments(dataset)
        if path.exists() and not ledger.segment_import.has_incident(path.stem) and not ledger.audit.is_known(path.stem)
    ]


def adopt_quarantined(
    area: LedgerContext, dataset: str, published: set[str], found: Reconciliation, trust: Trust
) -> None:
    """Open the incidents; call after `adopt_segments`, because batches in both places are not quarantined."""
    every = trust is not Trust.CURRENT
    for path in area.directory.quarantined_segments(dataset) if every else unknown_quarantined(area, dataset):
        try:
            contents, error = _read(area, path, dataset)
        except (RetryLater, AccessDenied) as problem:
            found.unadopted.append(Unadopted(path, str(problem)))
            continue
        if contents is not None and contents.header.shard != area.shard:
            found.unadopted.append(Unadopted(path, f"it belongs to shard {contents.header.shard!r}"))
            continue
        if path.exists():
            _adopt(area, dataset, path, contents, published, error, found)


def _adopt(
    area: LedgerContext,
    dataset: str,
    path: Path,
    contents: SegmentContents | None,
    published: set[str],
    error: str,
    found: Reconciliation,
) -> None:
    area.ledger.datasets.ensure(dataset)
    if contents is not None:
        describe(area, contents)
    batches = () if contents is None else contents.batches
    incident = area.ledger.segment_import.aside(FoundSegment(dataset, path.stem, batches, published), error)
    if incident is not None:
        found.incidents.append(incident)


def _read(area: LedgerContext, path: Path, dataset: str) -> tuple[SegmentContents | None, str]:
    """The file's contents, None = unreadable, and the incident's reason."""
    try:
        return read_contents(path, dataset, area.engines), _FOUND
    except (RetryLater, AccessDenied):
        raise
    except TimestoreError as error:
        return None, f"{_FOUND}; {error}"

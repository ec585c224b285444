"""Files in quarantine that no incident knows, because the ledger that knew was lost: each becomes an incident again.

Its batches hang on it as far as the file can be read; those that lie in another segment by now, or are published, do
not count twice. What became of an unreadable file only an operator can say, so it is an incident without batches. Files
stay where they are, and an operator who has given one up is asked once more.
"""

from __future__ import annotations

from pathlib import Path

from timestore_pipeline.errors import AccessDenied, RetryLater, TimestoreError
from timestore_pipeline.recovery.rebuild.reconciliation import LedgerContext, Reconciliation, Trust, Unadopted
from timestore_pipeline.recovery.rebuild.segment_files import describe
from timestore_pipeline.staging.ledger.segment_import import FoundSegment
from timestore_pipeline.staging.segment_contents import SegmentContents, read_contents

_FOUND = "found in quarantine by a ledger that did not know of it; why it was set aside is not known any more"


def unknown_quarantined(area: LedgerContext, dataset: str) -> list[Path]:
    """An incident is opened before its file is moved, and stays in the ledger for ever."""
    paths = area.directory.quarantined_segments(dataset)
    return [path for path in paths if path.exists() and not _has_incident(area, path) and not _is_known(area, path)]


def adopt_quarantined(
    area: LedgerContext, dataset: str, published: set[str], found: Reconciliation, trust: Trust
) -> None:
    """Open the incidents, after the segments were entered: what lies there as well is not quarantined."""
    every = trust is not Trust.CURRENT
    for path in area.directory.quarantined_segments(dataset) if every else unknown_quarantined(area, dataset):
        try:
            contents, error = _read(path, dataset)
        except (RetryLater, AccessDenied) as silent:
            found.unadopted.append(Unadopted(path, str(silent)))
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


def _read(path: Path, dataset: str) -> tuple[SegmentContents | None, str]:
    """What the file holds, None = nobody can tell, and what to say about it."""
    try:
        return read_contents(path, dataset), _FOUND
    except (RetryLater, AccessDenied):
        raise
    except TimestoreError as error:
        return None, f"{_FOUND}; {error}"


def _has_incident(area: LedgerContext, path: Path) -> bool:
    return area.ledger.segment_import.has_incident(path.stem)


def _is_known(area: LedgerContext, path: Path) -> bool:
    return area.ledger.audit.is_known(path.stem)

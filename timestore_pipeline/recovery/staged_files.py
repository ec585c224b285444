"""Enters journals and segment files into the ledger: unlisted ones, those that it knows an older state of, and those in
quarantine without an incident.

A journal holds batches of many datasets, and is listed once all of them are entered. A journal that a living process
appends to is skipped: that process enters its batches itself.

The next flush quarantines damaged segments. A file in quarantine gets an incident, because the ledger that had one was
lost, with the batches that can be read from it; batches that are in another segment by now, or published, do not count
twice. An unreadable file becomes an incident without batches, for an operator to decide. The files are not moved, and
an operator who had discarded one before has to discard it again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from timestore_pipeline.errors import AccessDenied, RetryLater, TimestoreError
from timestore_pipeline.recovery.reconciliation import LedgerContext, Reconciliation, Trust, Unadopted
from timestore_pipeline.staging.journal_records import FoundRecord, scan
from timestore_pipeline.staging.ledger.segment_import import FoundSegment
from timestore_pipeline.staging.liveness import others_alive
from timestore_pipeline.staging.segments import SegmentContents, read_contents
from timestore_pipeline.staging.system_errors import disk_failing, system_error
from timestore_pipeline.system.durable import make_folder, sync

_MOST_RECORDS = 1_000  # in a transaction, for which producers wait
_FOUND = "found in quarantine without an entry in the ledger; the reason for its quarantine is no longer known"


@dataclass
class FoundJournals:
    """Contents of the journals to enter."""

    records: dict[str, list[tuple[str, FoundRecord]]] = field(default_factory=dict)  # by dataset, with the journal's id
    datasets: dict[str, set[str]] = field(default_factory=dict)  # by journal's id: which it holds batches of


def find_journals(area: LedgerContext, found: Reconciliation, trust: Trust) -> FoundJournals:
    """Read the journals to enter; `found.unadopted` gets those that cannot be."""
    journals = FoundJournals()
    for path in unknown_journals(area) if trust is Trust.CURRENT else _not_written(area):
        try:
            contents = scan(path)
        except (TimestoreError, OSError) as error:
            if path.exists():
                found.unadopted.append(Unadopted(path, str(_typed(path, error))))
            continue
        if contents.shard != area.shard:
            found.unadopted.append(Unadopted(path, f"it belongs to shard {contents.shard!r}"))
            continue
        if contents.damaged_bytes:
            problem = f"{contents.damaged_bytes} of its bytes are damaged; the intact records are entered"
            found.unadopted.append(Unadopted(path, f"{problem}, and the file is kept as {_kept(area, path)}"))
        journals.datasets[path.stem] = {one.record.dataset for one in contents.records}
        for record in contents.records:
            journals.records.setdefault(record.record.dataset, []).append((path.stem, record))
    return journals


def adopt_records(
    area: LedgerContext, dataset: str, journals: FoundJournals, published: set[str], found: Reconciliation
) -> None:
    """Enter the dataset's batches. published: ids of batches that are in the lake."""
    for journal_id, records in groupby(journals.records.get(dataset, ()), key=itemgetter(0)):
        for some in _together([one for _, one in records]):
            layout = some[0].record.layout
            area.ledger.datasets.ensure(dataset)
            area.ledger.log_import.describe(dataset, layout.schema, layout.time_column, layout.granularity)
            places = [FoundSegment(dataset, journal_id, o.record.batches, published, o.offset) for o in some]
            pending = area.ledger.segment_import.records(places, lambda other: has_file(area, dataset, other))
            if pending is not None:
                found.pending += pending
                found.journals += [journal_id] if journal_id not in found.journals else []


def _together(records: list[FoundRecord]) -> Iterator[list[FoundRecord]]:
    """In parts of one layout that are entered in one transaction each: a transaction costs more than a small record."""
    for _, group in groupby(records, key=lambda one: one.record.layout):
        alike = list(group)
        for first in range(0, len(alike), _MOST_RECORDS):
            yield alike[first : first + _MOST_RECORDS]


def list_journals(area: LedgerContext, journals: FoundJournals, left: set[str]) -> None:
    """List each journal whose batches are all entered; left: datasets whose batches are not."""
    for journal_id, names in journals.datasets.items():
        if not names & left:
            area.ledger.journals.list_found(journal_id)


def unknown_journals(area: LedgerContext) -> list[Path]:
    """Journals that the ledger does not list: it registers one before the file exists and until the file is gone."""
    files = area.directory.journal_files()
    return [path for path in files if area.ledger.journals.find(path.stem) is None and path.exists()]


def datasets_in(path: Path) -> set[str]:
    """Names of the datasets with batches in a journal; none if it cannot be read."""
    try:
        return {found.record.dataset for found in scan(path).records}
    except (TimestoreError, OSError):
        return set()


def _not_written(area: LedgerContext) -> Iterator[Path]:
    alive = set(others_alive(area.directory.processes))
    for path in area.directory.journal_files():
        known = area.ledger.journals.find(path.stem)
        if known is None or known.closed or known.owner not in alive:
            yield path


def _kept(area: LedgerContext, path: Path) -> Path:
    """A hard link to a damaged journal: without a ledger, only its bytes show which batches were lost."""
    kept = area.directory.root / "quarantine" / "_journals" / path.name
    with suppress(FileExistsError):
        make_folder(kept.parent, private=True)
        os.link(path, kept)
        sync(kept.parent)
    return kept


def _typed(path: Path, error: TimestoreError | OSError) -> TimestoreError:
    if isinstance(error, TimestoreError):
        return error
    return system_error(error, str(path)) or disk_failing(error, str(path), None)


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
            contents, error = _read_or_reason(area, path, dataset)
        except (RetryLater, AccessDenied) as problem:
            found.unadopted.append(Unadopted(path, str(problem)))
            continue
        if contents is not None and contents.header.shard != area.shard:
            found.unadopted.append(Unadopted(path, f"it belongs to shard {contents.header.shard!r}"))
            continue
        if path.exists():
            _open_incident(area, dataset, path, contents, published, error, found)


def _open_incident(
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


def _read_or_reason(area: LedgerContext, path: Path, dataset: str) -> tuple[SegmentContents | None, str]:
    """The file's contents, None = unreadable, and the incident's reason."""
    try:
        return read_contents(path, dataset, area.engines), _FOUND
    except (RetryLater, AccessDenied):
        raise
    except TimestoreError as error:
        return None, f"{_FOUND}; {error}"

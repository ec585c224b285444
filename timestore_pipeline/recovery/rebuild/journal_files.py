"""Journals entered into the ledger: those it does not list and, of an older copy, those that have grown since.

A journal holds batches of many datasets, and is listed once all of them are entered. One that a living process appends
to is left alone: what that process acknowledges, it enters itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.recovery.rebuild.reconciliation import LedgerContext, Reconciliation, Trust, Unadopted
from timestore_pipeline.recovery.rebuild.segment_files import has_file
from timestore_pipeline.staging.journal_records import FoundRecord, scan
from timestore_pipeline.staging.ledger.segment_import import FoundSegment
from timestore_pipeline.staging.liveness import others_alive
from timestore_pipeline.staging.system_errors import disk_failing, system_error
from timestore_pipeline.system.durable import make_folder, sync


@dataclass
class FoundJournals:
    """What the journals hold that are to be entered."""

    records: dict[str, list[tuple[str, FoundRecord]]] = field(default_factory=dict)  # by dataset, with the journal's id
    journal_ids: list[str] = field(default_factory=list)

    def datasets_of(self, journal_id: str) -> set[str]:
        """Names of those that have batches in it."""
        return {name for name, records in self.records.items() if any(where == journal_id for where, _ in records)}


def find_journals(area: LedgerContext, found: Reconciliation, trust: Trust) -> FoundJournals:
    """Read the journals that are to be entered; `found` says which cannot be."""
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
            told = f"{contents.damaged_bytes} bytes of it are no intact record; all others are entered"
            found.unadopted.append(Unadopted(path, f"{told}, and it is kept as {_kept(area, path)}"))
        journals.journal_ids.append(path.stem)
        for record in contents.records:
            journals.records.setdefault(record.record.dataset, []).append((path.stem, record))
    return journals


def adopt_records(
    area: LedgerContext, dataset: str, journals: FoundJournals, published: set[str], found: Reconciliation
) -> None:
    """Enter the dataset's batches. published: ids of batches that are in the lake."""
    for journal_id, one in journals.records.get(dataset, ()):
        record = one.record
        area.ledger.datasets.ensure(dataset)
        area.ledger.log_import.describe(
            dataset, record.layout.schema, record.layout.time_column, record.layout.granularity
        )
        place = FoundSegment(dataset, journal_id, record.batches, published, one.offset)
        owed = area.ledger.segment_import.record(place, lambda other: has_file(area, dataset, other))
        if owed is not None:
            found.owed += owed
            found.journals += [journal_id] if journal_id not in found.journals else []


def list_journals(area: LedgerContext, journals: FoundJournals, left: set[str]) -> None:
    """Say of each journal that all its batches are entered; left: datasets whose batches are not."""
    for journal_id in journals.journal_ids:
        if not journals.datasets_of(journal_id) & left:
            area.ledger.journals.list_found(journal_id)


def unknown_journals(area: LedgerContext) -> list[Path]:
    """A journal is registered before its file is made and forgotten after the file is gone."""
    files = area.directory.journal_files()
    return [path for path in files if area.ledger.journals.find(path.stem) is None and path.exists()]


def datasets_in(path: Path) -> set[str]:
    """Names of the datasets that have batches in a journal; of one that cannot be read, none."""
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
    """A second name for a damaged journal: without a ledger, only its bytes say what was lost."""
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

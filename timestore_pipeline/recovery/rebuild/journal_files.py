"""Enters journals into the ledger: unlisted ones and, if the ledger is an older copy, those that have grown since.

A journal holds batches of many datasets, and is listed once all of them are entered. A journal that a living process
appends to is skipped: that process enters its batches itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.recovery.rebuild.reconciliation import LedgerContext, Reconciliation, Trust, Unadopted
from timestore_pipeline.recovery.rebuild.segment_files import has_file
from timestore_pipeline.staging.journal_records import FoundRecord, scan
from timestore_pipeline.staging.ledger.segment_import import FoundSegment
from timestore_pipeline.staging.liveness import others_alive
from timestore_pipeline.staging.system_errors import disk_failing, system_error
from timestore_pipeline.system.durable import make_folder, sync

_MOST_RECORDS = 1_000  # in a transaction, for which producers wait


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

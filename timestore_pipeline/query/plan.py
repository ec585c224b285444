"""Which rows of a dataset come from its table and which from staged files, so that each is read once.

The order of the steps ensures it beside any concurrent work:
1. One ledger snapshot names every batch that is pending or in flight, of all datasets at once, and where it lies.
2. Those segments and journals are pinned: a hard link in the query's own folder. A missing one was published.
3. The table is opened. It holds every batch that the ledger has as published, since the commit is made first.
4. A batch that a later commit of this version names counts as published; every other one is read from its file.

A claim, a commit, an abort or an unlink at any point between these steps moves no batch from one side to both or to
none. A batch missing on both sides was moved meanwhile, out of its journal, into quarantine or out of a damaged
segment: the plan is made again.

Neither a segment nor the records that a ledger names are written to again, so a hard link keeps them while a flush
publishes and unlinks the file. The space is freed when the query ends. A killed query leaves its folder in the spool,
which the next query or flush of any dataset, the recovery sensor, or `timestore recover` removes; the doctor reports
it. Guardrails on staged bytes do not count files that only a query holds, because a flush could not free them; the
guardrail on free space does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from timestore_pipeline.errors import InvalidData, TimestoreError, UnreadableSegment
from timestore_pipeline.lake.snapshot import TableSnapshot
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.lake import app_id
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import LeftOut, unreadable
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.staging.ledger.journals import RecordPlace
from timestore_pipeline.staging.ledger.staged import HeldBatch, StagedDataset
from timestore_pipeline.staging.segments import translated


class Pins:
    """Links to segments and journals, in the query's own folder."""

    def __init__(self, area: StagingArea, folder: Path) -> None:
        self._area = area
        self._folder = folder
        self._pinned: set[Path] = set()

    def pin(self, dataset: str, segment_id: str) -> None:
        """Link a segment; a missing one is skipped."""
        self._pin(self.origin(dataset, segment_id), self.path(segment_id), dataset)

    def pin_journal(self, dataset: str, journal_id: str) -> None:
        """Link a journal, once; a missing one is skipped."""
        if not self.has(self.journal(journal_id)):
            self._pin(self.journal_origin(journal_id), self.journal(journal_id), dataset)

    def has(self, link: Path) -> bool:
        return link in self._pinned

    def path(self, segment_id: str) -> Path:
        """Of the link to a segment."""
        return self._folder / f"{segment_id}.duckdb"

    def journal(self, journal_id: str) -> Path:
        """Of the link to a journal, which calls itself by the file's name."""
        return self._folder / self.journal_origin(journal_id).name

    def origin(self, dataset: str, segment_id: str) -> Path:
        """The segment's path in the staging directory."""
        return self._area.directory.segment(dataset, segment_id)

    def journal_origin(self, journal_id: str) -> Path:
        """The journal's path in the staging directory."""
        return self._area.directory.journal(journal_id)

    def clear(self) -> None:
        """Remove all links."""
        for link in self._pinned:
            link.unlink()
        self._pinned.clear()

    def _pin(self, source: Path, link: Path, dataset: str) -> None:
        with translated(source, dataset), suppress(FileNotFoundError):
            _link(source, link)
            self._pinned.add(link)


def _link(source: Path, target: Path) -> None:
    """A copy where the filesystem has no hard links, or the spool is on another filesystem."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


ATTEMPTS = 5  # plans, each outdated by a batch that was moved meanwhile

REMEDY = "a flush or `timestore recover` quarantines damaged batches; `--published-only` reads the table alone"

Held = Mapping[str, Mapping[int, HeldBatch]]  # segment id -> the batches to read from it, by sequence


@dataclass(frozen=True, slots=True)
class QuerySource:
    """Where the rows of one dataset are; one of `table` and `record` is not None."""

    dataset: str
    table: TableSnapshot | None  # None = never published
    record: DatasetRecord | None  # None = only the table is read
    held: Held
    records: Sequence[RecordPlace] = ()  # in journals, with the batches to read from them
    notes: Sequence[str] = ()  # rows that are not read, and why
    types_differ: bool = False  # the table has columns of other types than the ledger; `record` has the table's


class _Moved(Exception):
    """A file is neither in its place nor published."""

    def __init__(self, dataset: str, path: Path) -> None:
        super().__init__(dataset, path)
        self.dataset, self.path = dataset, path


def plan_published(lake: Lake, datasets: Sequence[str]) -> list[QuerySource]:
    """The tables alone; names without a table are left out."""
    tables = ((dataset, lake.table(dataset).snapshot()) for dataset in datasets)
    return [QuerySource(dataset, table, None, {}) for dataset, table in tables if table is not None]


def plan_all(area: StagingArea, lake: Lake, datasets: Sequence[str], pins: Pins) -> list[QuerySource]:
    """Tables and staged rows; names in neither lake nor ledger are left out.

    Raises `UnreadableSegment` for a segment or a record that is damaged or lost, and the errors of ledger and lake.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return _plan(area, lake, datasets, pins)
        except _Moved:
            pins.clear()
    try:
        return _plan(area, lake, datasets, pins)
    except _Moved as moved:
        raise UnreadableSegment(f"file {moved.path} is missing", dataset=moved.dataset, hint=REMEDY) from moved


def _plan(area: StagingArea, lake: Lake, datasets: Sequence[str], pins: Pins) -> list[QuerySource]:
    staged = area.ledger.staged.at_once(datasets)
    unread = {dataset: _unreadable(area, known) for dataset, known in staged.items()}
    for dataset, known in staged.items():
        for segment in known.segments:
            pins.pin(dataset, segment.segment_id)
        for journal_id in {place.journal_id for place in known.records} - unread[dataset].keys():
            pins.pin_journal(dataset, journal_id)
    sources = (_source(area, lake, dataset, staged.get(dataset), pins, unread.get(dataset, {})) for dataset in datasets)
    return [source for source in sources if source is not None]


def _unreadable(area: StagingArea, staged: StagedDataset) -> dict[str, LeftOut]:
    """By journal id."""
    ids = {place.journal_id for place in staged.records}
    return {left.journal_id: left for left in unreadable(area.directory.journal, ids, staged.record.name)}


def _source(
    area: StagingArea,
    lake: Lake,
    dataset: str,
    staged: StagedDataset | None,
    pins: Pins,
    unread: Mapping[str, LeftOut],
) -> QuerySource | None:
    table = lake.table(dataset).snapshot()
    if staged is None or staged.record.schema is None:
        return None if table is None else QuerySource(dataset, table, None, {})
    published = table.batches_after(app_id(area.shard, dataset), staged.settled_epoch) if table else frozenset()
    held: dict[str, dict[int, HeldBatch]] = {}
    for segment in staged.segments:
        if batches := {n: one for n, one in segment.batches.items() if one.batch_id not in published}:
            held[segment.segment_id] = batches
    records = list(_unpublished_records(staged.records, published))
    readable = [place for place in records if place.journal_id not in unread]
    for segment_id in held:
        if not pins.has(pins.path(segment_id)):
            raise _Moved(dataset, pins.origin(dataset, segment_id))
    for place in readable:
        if not pins.has(pins.journal(place.journal_id)):
            raise _Moved(dataset, pins.journal_origin(place.journal_id))
    notes = [*_unread(dataset, records, unread), *_quarantined(staged)]
    record = staged.record if table is None else _in_types_of(table, staged.record)
    return QuerySource(dataset, table, record, held, readable, notes, types_differ=record is not staged.record)


def _in_types_of(table: TableSnapshot, record: DatasetRecord) -> DatasetRecord:
    """The record with the table's types: a column may have changed its type since the ledger recorded it."""
    assert record.schema is not None, "rows are staged in columns"
    try:
        schema = table.as_published(record.schema)
    except InvalidData:
        return record  # a table of another tool
    return record if schema.equals(record.schema) else replace(record, schema=schema)


def _unpublished_records(places: Sequence[RecordPlace], published: frozenset[str]) -> Iterator[RecordPlace]:
    for place in places:
        if some := [batch for batch in place.batches if batch.batch_id not in published]:
            yield replace(place, batches=some)


def _unread(dataset: str, records: Sequence[RecordPlace], unread: Mapping[str, LeftOut]) -> Iterator[str]:
    for left in unread.values():
        places = [place for place in records if place.journal_id == left.journal_id]
        rows = sum(batch.rows for place in places for batch in place.batches)
        yield f"{rows} staged rows of dataset {dataset!r} are not read: {left.reason}"


def _quarantined(staged: StagedDataset) -> list[str]:
    if not staged.quarantined.batches:
        return []
    amount = f"{staged.quarantined.rows} rows of dataset {staged.record.name!r}"
    return [f"{amount} are in quarantine and not read; see `timestore quarantine list`"]


def with_remedy(error: TimestoreError) -> TimestoreError:
    """The error with the remedy for a damaged segment in its hint."""
    error.hint = f"{error.hint}; {REMEDY}" if error.hint else REMEDY
    return error

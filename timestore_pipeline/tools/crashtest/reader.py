"""The role that reads the tables all the time: every commit must add whole batches, each for the first time.

It follows the Delta log commit by commit, so it sees every version that any reader could have seen, and enters each
commit into a diary. After a kill it continues from there: a commit is entered only after its problems are recorded.

At the end the diary is compared with the acknowledgements in the producers' journals: a commit that names an instant as
`complete_until` must not lack a batch that was acknowledged before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from timestore_pipeline.system import clock
from timestore_pipeline.tools.crashtest import process_phases
from timestore_pipeline.tools.crashtest.lake_files import Commit, PlainLog
from timestore_pipeline.tools.crashtest.process_phases import Life, append_lines, whole_lines
from timestore_pipeline.tools.crashtest.producer_journal import Sent, Story
from timestore_pipeline.tools.crashtest.schedule import DATASETS, CrashPlan

_PAUSE = 0.02  # seconds
_COLUMNS = ["producer", "batch", "row", "of"]

Batch = tuple[int, int]  # producer, number
Entry = tuple[int, list[Batch], str | None]  # version, the batches that it adds, its `complete_until`


def read_in_a_loop(life: Life) -> None:
    """Record the problems of every commit."""
    tables = published_tables(life.plan)
    life.marker.idle()
    while not life.ending:
        with life.marker.during(process_phases.READ):
            read_on(life.plan, tables)
        clock.sleep(_PAUSE)


def published_tables(plan: CrashPlan) -> list[PublishedTable]:
    return [published_table(plan, dataset) for dataset in DATASETS]


def published_table(plan: CrashPlan, dataset: str) -> PublishedTable:
    return PublishedTable(plan.home / "lake" / dataset, plan.journals / f"reader-{dataset}.ndjson")


def read_on(plan: CrashPlan, tables: Sequence[PublishedTable]) -> None:
    for table in tables:
        note_sightings(plan.journals, table.look())
        table.remember()


@dataclass(slots=True)
class PublishedTable:
    """One table, and the batches seen in it so far, by this life of the reader and the earlier ones."""

    folder: Path
    diary: Path
    seen: set[Batch] = field(default_factory=set)
    _log: PlainLog = field(init=False)
    _new: list[Entry] = field(default_factory=list)  # commits that were read and are not in the diary yet

    def __post_init__(self) -> None:
        self._log = PlainLog(self.folder)
        for version, batches, _ in self.entries():
            self._log.next = version + 1
            self.seen.update(batches)

    def entries(self) -> Iterator[Entry]:
        """The diary's entries, oldest version first."""
        for version, batches, complete_until in whole_lines(self.diary):
            yield version, [(producer, number) for producer, number in batches], complete_until

    def look(self) -> list[str]:
        """Read the new commits; returns their problems."""
        skipped = self._log.skipped
        found = [wrong for commit in self._log.advance() for wrong in self._wrong_with(commit)]
        if self._log.skipped > skipped:
            found.append(f"{self._log.skipped - skipped} commits of {self.folder.name} went before they were read")
        return found

    def behind(self) -> timedelta:
        """Age of the oldest commit that is not in the diary."""
        since = self._log.next_since()
        return timedelta(0) if since is None else clock.now() - since

    def remember(self) -> None:
        """Enter the commits that were read into the diary; after a torn line, the next life reads that commit again."""
        append_lines(self.diary, self._new)
        self._new = []

    def _wrong_with(self, commit: Commit) -> Iterator[str]:
        where = f"version {commit.version} of {self.folder.name}"
        if gone := [path.name for path in commit.added if not path.exists()]:
            yield f"{where} names {gone[0]}, which is not there"
        found = list(_batches([path for path in commit.added if path.exists()]))
        for producer, number, of, rows, distinct in found:
            if (rows, distinct) != (of, of):
                yield f"{where} shows {rows} rows, {distinct} different ones, of the {of} of batch {producer}/{number}"
            if (producer, number) in self.seen:
                yield f"{where} shows batch {producer}/{number} a second time"
            self.seen.add((producer, number))
        brought = [(producer, number) for producer, number, *_ in found]
        self._new.append((commit.version, brought, commit.complete_until))


def note_sightings(folder: Path, sightings: list[str]) -> None:
    append_lines(_file(folder), sightings)


def sightings(folder: Path) -> list[str]:
    """The problems that the reader recorded in any of its lives, each once."""
    return list(dict.fromkeys(whole_lines(_file(folder))))


def _file(folder: Path) -> Path:
    return folder / "reader.ndjson"


def _batches(files: list[Path]) -> Iterator[tuple[int, int, int, int, int]]:
    """Per batch: producer, number, and its expected, actual and distinct rows."""
    if not files:
        return
    rows = pa.concat_tables([pq.read_table(file, columns=_COLUMNS, partitioning=None) for file in files])
    found = rows.group_by(_COLUMNS[:2] + _COLUMNS[3:]).aggregate([("row", "count"), ("row", "count_distinct")])
    columns = (found[name].to_pylist() for name in ("producer", "batch", "of", "row_count", "row_count_distinct"))
    yield from zip(*columns, strict=True)


def broken_promises(table: PublishedTable, stories: Mapping[int, Story]) -> Iterator[str]:
    """One problem for each batch that was published later than a commit had promised."""
    missing = _acknowledged(table.folder.name, stories)
    late: set[Batch] = set()
    for version, batches, promised in table.entries():
        for batch in batches:
            missing.pop(batch, None)
        for batch in () if promised is None else _acked_before(datetime.fromisoformat(promised), missing):
            if batch not in late:
                late.add(batch)
                yield (
                    f"version {version} of {table.folder.name} claims to be complete until {promised}, but lacks batch"
                    f" {batch[0]}/{batch[1]}, acknowledged at {missing[batch].acked_at}"
                )


def _acknowledged(dataset: str, stories: Mapping[int, Story]) -> dict[Batch, Sent]:
    sent = (batch for story in stories.values() for batch in story.sent.values())
    return {(batch.producer, batch.number): batch for batch in sent if batch.dataset == dataset and batch.acked_at}


def _acked_before(instant: datetime, missing: Mapping[Batch, Sent]) -> Iterator[Batch]:
    yield from (batch for batch, sent in missing.items() if sent.acked_at is not None and sent.acked_at < instant)

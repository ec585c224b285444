"""The role that reads what is published, all the time: every commit must bring whole batches, each for the first time.

It follows the Delta log commit by commit, so it sees what any reader of any version would have seen. After a kill it
begins at the first version again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from timestore_pipeline import clock
from timestore_pipeline.crashtest import phases
from timestore_pipeline.crashtest.lake_files import Commit, PlainLog
from timestore_pipeline.crashtest.life import Life
from timestore_pipeline.crashtest.plan import DATASETS

_PAUSE = 0.02  # seconds
_COLUMNS = ["producer", "batch", "row", "of"]

Batch = tuple[int, int]  # producer, number


def read_in_a_loop(life: Life) -> None:
    """Write down every commit that shows something it may not."""
    tables = [PublishedTable(life.plan.home / "lake" / dataset) for dataset in DATASETS]
    life.marker.idle()
    while not life.ending:
        with life.marker.during(phases.READ):
            for table in tables:
                note_sightings(life.plan.journals, table.look())
        clock.sleep(_PAUSE)


@dataclass(slots=True)
class PublishedTable:
    """One table, and the batches seen in it so far."""

    folder: Path
    seen: set[Batch] = field(default_factory=set)
    _log: PlainLog = field(init=False)

    def __post_init__(self) -> None:
        self._log = PlainLog(self.folder)

    def look(self) -> list[str]:
        """What new commits show and may not."""
        return [wrong for commit in self._log.advance() for wrong in self._wrong_with(commit)]

    def _wrong_with(self, commit: Commit) -> Iterator[str]:
        where = f"version {commit.version} of {self.folder.name}"
        if gone := [path.name for path in commit.added if not path.exists()]:
            yield f"{where} names {gone[0]}, which is not there"
        for producer, number, of, rows, distinct in _batches([path for path in commit.added if path.exists()]):
            if (rows, distinct) != (of, of):
                yield f"{where} shows {rows} rows, {distinct} different ones, of the {of} of batch {producer}/{number}"
            if (producer, number) in self.seen:
                yield f"{where} shows batch {producer}/{number} a second time"
            self.seen.add((producer, number))


def note_sightings(folder: Path, sightings: list[str]) -> None:
    if sightings:
        with _file(folder).open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(text) + "\n" for text in sightings))


def sightings(folder: Path) -> list[str]:
    """What any life of the reader wrote down, each once."""
    if not _file(folder).exists():
        return []
    lines = _file(folder).read_text(encoding="utf-8").splitlines(keepends=True)
    return list(dict.fromkeys(json.loads(line) for line in lines if line.endswith("\n")))


def _file(folder: Path) -> Path:
    return folder / "reader.ndjson"


def _batches(files: list[Path]) -> Iterator[tuple[int, int, int, int, int]]:
    """Per batch: producer, number, the rows it should have, has, and has different ones of."""
    if not files:
        return
    rows = pa.concat_tables([pq.read_table(file, columns=_COLUMNS, partitioning=None) for file in files])
    found = rows.group_by(_COLUMNS[:2] + _COLUMNS[3:]).aggregate([("row", "count"), ("row", "count_distinct")])
    columns = (found[name].to_pylist() for name in ("producer", "batch", "of", "row_count", "row_count_distinct"))
    yield from zip(*columns, strict=True)

"""Which batch has how many rows in which partition, and which partitions are written together.

Rows are counted in their sources before anything is written. So every batch is held to the rows it was acknowledged
with, and every file to the rows counted for its partition.

Many small partitions that follow each other in time are written together. Alone, each costs a scan of the claim and
some flushes to disk one after the other, however few its rows; ten years by the hour have 87,600.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from timestore_pipeline.errors import Corrupted
from timestore_pipeline.flush.attach import Place, StagedSource
from timestore_pipeline.flush.staged_view import SOURCE_COLUMN
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.model.lake import PartitionKey
from timestore_pipeline.model.sql_types import quote
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.group_rows import BATCH_COLUMN

_Counted = Sequence[tuple[int, int, date | None, int]]  # position of the source, sequence, partition, rows
FEWEST = 8  # fewer are written one by one, each on all threads
MOST = 1024  # files, which are all wasted if the disk fills at the last one
MOST_ROWS = 400_000  # of all together; larger partitions gain nothing


@dataclass(frozen=True, slots=True)
class Share:
    """Rows of one batch in one partition."""

    held_in: str
    sequence: int
    key: PartitionKey
    rows: int

    @property
    def place(self) -> Place:
        return self.held_in, self.sequence


def count_shares(
    connection: duckdb.DuckDBPyConnection, partitioning: Partitioning, sources: Sequence[StagedSource]
) -> list[Share]:
    """Every (batch, partition) with its rows, partitions in time order. sources: those of `staged`."""
    counted = _of_whole_batches(connection, partitioning)
    if counted is None:
        counted = connection.execute(
            f"SELECT {SOURCE_COLUMN}, {BATCH_COLUMN}, {partitioning.value_sql()} AS partition, count(*)"
            " FROM staged GROUP BY ALL ORDER BY partition NULLS FIRST, 1, 2"
        ).fetchall()
    return [
        Share(sources[position].held_in, sequence, partitioning.key(value), count)
        for position, sequence, value, count in counted
    ]


def rows_per_partition(shares: Sequence[Share]) -> dict[PartitionKey, int]:
    rows: dict[PartitionKey, int] = {}
    for share in shares:
        rows[share.key] = rows.get(share.key, 0) + share.rows
    return rows


def check_promises(area: StagingArea, ref: FlushRef, batches: Mapping[Place, str], shares: Sequence[Share]) -> None:
    """A file that lost rows must never turn into a flush that looks complete."""
    found: dict[Place, int] = {}
    for share in shares:
        found[share.place] = found.get(share.place, 0) + share.rows
    promised = area.ledger.batches.rows_of_flush(ref)
    for place, identity in batches.items():
        if found.get(place, 0) != promised[identity]:
            raise Corrupted(
                f"batch {identity} of dataset {ref.dataset!r} was acknowledged with {promised[identity]} rows,"
                f" {place[0]} holds {found.get(place, 0)}",
                dataset=ref.dataset,
                hint="keep the file of that segment or journal; the batch stays pending until it is repaired",
            )


def _of_whole_batches(connection: duckdb.DuckDBPyConnection, partitioning: Partitioning) -> _Counted | None:
    """By the first and the last time of each batch, a quarter of the work; None = one is not of a single partition."""
    if partitioning.column is None:
        return None
    time = quote(partitioning.time_column or "")
    first, last = partitioning.value_sql(f"min({time})"), partitioning.value_sql(f"max({time})")
    rows = connection.execute(
        f"SELECT {SOURCE_COLUMN}, {BATCH_COLUMN}, {first} AS first, count(*), {last}, count({time})"
        " FROM staged GROUP BY 1, 2 ORDER BY first, 1, 2"
    ).fetchall()
    if any(first is None or first != last or timed != count for _, _, first, count, last, timed in rows):
        return None
    return [row[:4] for row in rows]


def runs(partitions: Mapping[PartitionKey, int], most_rows: int) -> Iterator[list[PartitionKey]]:
    """Every partition once, in order, those that go together in one list. partitions: in time order -> rows."""
    most_rows = min(most_rows, MOST_ROWS)
    run: list[PartitionKey] = []
    rows = 0
    for key, count in partitions.items():
        if run and (len(run) == MOST or rows + count > most_rows):
            yield from _together(run)
            run, rows = [], 0
        if key.value is None:  # without a time, so beside all the others
            yield [key]
        else:
            run.append(key)
            rows += count
    yield from _together(run)


def _together(run: list[PartitionKey]) -> Iterator[list[PartitionKey]]:
    if len(run) >= FEWEST:
        yield run
    else:
        yield from ([key] for key in run)

"""Values of the lake plane: partitions, files, the outcome of an epoch; and sentences about a dataset's layout.

A layout is open while no row has a time yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

NO_TIME = "no batch that was staged has a time in any row"

UNTIL_TIME = "when a row with a time is staged, or the time column is declared"


@dataclass(frozen=True, slots=True)
class PartitionKey:
    """One lake partition; `PartitionKey(None, None)` is the whole of an unpartitioned table."""

    column: str | None  # "partition_date" or "partition_hour"; None = the table is not partitioned
    value: str | None  # "2013-01-01", "2013-01-01 05:00:00" in UTC; None = rows without a time


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A durable Parquet file that no commit names yet: readers ignore it until it is published."""

    path: str  # relative to the table's root, not URL-encoded
    rows: int
    bytes: int  # size of the file
    partition: PartitionKey
    stats: str  # statistics in the Delta log's JSON form
    min_time: datetime | None  # UTC; a naive time column is read as UTC. None = no time column or no usable bound
    max_time: datetime | None


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A file of the table's newest version."""

    path: str  # relative to the table's root, not URL-encoded
    rows: int | None  # None = written without statistics
    bytes: int


class EpochOutcome(StrEnum):
    """The state of an epoch in the Delta log."""

    PUBLISHED = "published"  # its rows are in the table
    BURNT = "burnt"  # its rows are not in the table and can never be published
    ABSENT = "absent"  # its rows are not in the table, but a live holder may still publish them


def declare_time(dataset: str) -> str:
    """The command that names a time column, for a dataset in which none was found."""
    return f"timestore datasets set {dataset} timeColumn=COLUMN"


def undecided(dataset: str) -> str:
    """Why no row of the dataset is published under `partition.undecided = wait`."""
    return f"{NO_TIME}, and partition.undecided is wait; `{declare_time(dataset)}` names the column"


def layout_sentence(time_column: str | None, granularity: str | None, named: str | None, *, staged: bool) -> str:
    """How a dataset is laid out, and why. named: the time column of its metadata. staged: it has columns."""
    if granularity is None:
        wanted = f"by {named!r}, as declared, " if named else ""
        return (
            f"open: {wanted}decided {UNTIL_TIME}" if staged else f"{wanted}decided with the first row that has a time"
        )
    if time_column is None:
        return "not partitioned: published before any row had a time"
    why = "declared" if named == time_column else "the first column with a time"
    return f"by {time_column!r} per {granularity}: {why}"

"""Values of the lake plane: partitions, exported files, and the outcome of an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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

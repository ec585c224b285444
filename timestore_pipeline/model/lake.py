"""Values of the lake plane: partitions, files, the outcome of an epoch; sentences about a dataset's layout; commits.

A layout is open while no row has a time yet.

The Delta log names a flush by a transaction identifier and by the commit's own metadata. The metadata contain
everything that a ledger keeps of a published flush, batch by batch, so that a ledger which was lost, or restored from
an older backup, can be reconciled with the published flushes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from timestore_pipeline.model.batch import batch_id
from timestore_pipeline.model.flush import Flush
from timestore_pipeline.system import clock

NO_TIME = "no batch that was staged has a time in any row"

UNTIL_TIME = "when a row with a time is staged, or the time column is declared"

RETYPED_APP_ID = "timestore/_retyped"  # its `version` counts the type changes of the table's columns


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


def app_id(shard: str, dataset: str) -> str:
    """Delta's `txn.appId`; its `version` is the epoch. Each shard publishes under its own name."""
    return f"timestore/{shard}/{dataset}"


def compaction_app_id(shard: str) -> str:
    """The same for a shard's maintenance; its `version` is the generation. No dataset can have such a name."""
    return f"timestore/{shard}/_compaction"


def retyped_app_id(column: str, leeway: str) -> str:
    """The same for one column and the leeway of its change; its `version` is the count of the last such change."""
    return f"{RETYPED_APP_ID}/{leeway}/{column}"


def claim_id(flush: Flush) -> str:
    """Identifies the claim, also among claims of the same epoch that other ledgers have made."""
    return f"{flush.run_id}/{clock.to_micros(flush.claimed_at)}"


def claimed_at_micros(claim: str) -> int:
    """The instant in a claim's id, in microseconds since the Unix epoch; 0 when it has none."""
    _, _, instant = claim.rpartition("/")
    return int(instant) if instant.isdigit() else 0


def commit_info(
    shard: str,
    flush: Flush,
    ledger_id: str,
    batch_ids: Iterable[str],
    complete_until: datetime,
    time_column: str | None = None,
    granularity: str | None = None,
) -> dict[str, Any]:
    """Metadata of a published commit; `timestore verify` and a rebuild of the ledger read them back.

    complete_until: with this commit every batch that the shard acknowledged before that instant is in the table.
    """
    return {
        "shard": shard,
        "dataset": flush.dataset,
        "epoch": flush.epoch,
        "claim": claim_id(flush),
        "ledger": ledger_id,
        "outcome": "published",
        "run_id": flush.run_id,
        "trigger": flush.trigger.value,
        "batches": flush.volume.batches,
        "rows": flush.volume.rows,
        "bytes": flush.volume.bytes,
        "segments": batches_to_ranges(batch_ids),
        "complete_until": complete_until.isoformat(),
        "time_column": time_column,
        "granularity": granularity,
    }


def batches_to_ranges(batch_ids: Iterable[str]) -> dict[str, str]:
    """Segment id -> the sequences of its batches, such as `0-99,105`. By batch id, which salvaged copies keep."""
    sequences: dict[str, list[int]] = {}
    for identity in batch_ids:
        segment_id, _, sequence = identity.rpartition("-")
        sequences.setdefault(segment_id, []).append(int(sequence))
    return {segment_id: _ranges(sorted(found)) for segment_id, found in sorted(sequences.items())}


def ranges_to_batches(segments: Mapping[str, str]) -> Iterator[str]:
    """The batch ids; the inverse of `batches_to_ranges`. Raise `ValueError` for any other text."""
    for segment_id, ranges in segments.items():
        for part in filter(None, ranges.split(",")):
            first, _, last = part.partition("-")
            for sequence in range(int(first), int(last or first) + 1):
                yield batch_id(segment_id, sequence)


def _ranges(sequences: Sequence[int]) -> str:
    runs = ranges_of(sequences)
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def ranges_of(sequences: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers, first and last of each; `sequences` ascend."""
    start = previous = sequences[0]
    for sequence in [*sequences[1:], -1]:
        if sequence != previous + 1:
            yield start, previous
            start = sequence
        previous = sequence

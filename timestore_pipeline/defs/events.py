"""A published flush as Dagster shows it: asset materializations whose numbers plot over time.

One for the flush as a whole, and before it one per partition, which marks the days that have data. Their numbers have
different names, so that a plot never mixes a flush with a part of it. Most flushes go into a single partition, and have
both in one event: in a run of many small flushes, events cost as much as the flushes.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import dagster as dg

from timestore_pipeline.model.flush import Flush, FlushRef
from timestore_pipeline.model.lake import ExportedFile
from timestore_pipeline.model.thresholds import FlushSettings
from timestore_pipeline.wiring import Timestore

MOST_MARKED = 400  # partitions of one flush; an event costs a run 8 to 10 ms, and these are a year of days

Metadata = dict[str, int | float | str | dg.MetadataValue]


def asset_key(dataset: str) -> dg.AssetKey:
    return dg.AssetKey(["timestore", dataset])


def landing_key(dataset: str) -> dg.AssetKey:
    """Files dropped for a dataset."""
    return dg.AssetKey(["landing", dataset])


def materializations(
    timestore: Timestore, flush: Flush, settings: FlushSettings | None = None
) -> list[dg.AssetMaterialization]:
    """All events of a published flush, that of the flush itself last: the asset's page shows the latest in full.

    settings: those that were in force; None = another run flushed, and only its commit names them.
    """
    files = timestore.area.ledger.flushes.files(FlushRef(flush.dataset, flush.epoch))
    marks = list(_marks(flush, files, timestore.area.shard))
    complete_until = timestore.area.ledger.batches.complete_until(flush.dataset)
    known: Metadata = {"shard": timestore.area.shard, "complete_until": dg.MetadataValue.timestamp(complete_until)}
    if settings is not None:
        known["settings"] = dg.MetadataValue.json(settings.to_dict())
    whole = _whole(flush, timestore.lake.table(flush.dataset).uri, len(marks), known)
    if len(files) == len(marks) == 1:
        return [_both(whole, marks[0])]
    return [*marks[-MOST_MARKED:], whole]


def _whole(flush: Flush, table_uri: str, partitions: int, known: Metadata) -> dg.AssetMaterialization:
    """Numbers are plain numbers: Dagster plots them on the asset's page."""
    unmarked = partitions - MOST_MARKED
    note = f"; the oldest {unmarked} of {partitions} partitions are not marked" if unmarked > 0 else ""
    return dg.AssetMaterialization(
        asset_key(flush.dataset),
        description=f"{flush.volume.rows:,} rows in {flush.files:,} files, flushed because of {flush.trigger}{note}",
        metadata={**_amounts(flush), **_origin(flush, table_uri), **_times(flush), **known},
    )


def _both(whole: dg.AssetMaterialization, mark: dg.AssetMaterialization) -> dg.AssetMaterialization:
    metadata = {**mark.metadata, **whole.metadata}
    return dg.AssetMaterialization(whole.asset_key, whole.description, metadata, partition=mark.partition)


def _marks(flush: Flush, files: Sequence[ExportedFile], shard: str) -> Iterator[dg.AssetMaterialization]:
    """Oldest partition first. Rows without a time are in none, so nothing marks them."""
    for file in sorted(files, key=lambda file: file.partition.value or ""):
        if file.partition.value is not None:
            yield dg.AssetMaterialization(
                asset_key(flush.dataset),
                partition=file.partition.value,
                description=f"{file.rows:,} rows of epoch {flush.epoch}",
                metadata={
                    "partition_rows": file.rows,
                    "partition_file_bytes": file.bytes,
                    "epoch": flush.epoch,
                    "shard": shard,
                },
            )


def _amounts(flush: Flush) -> Metadata:
    return {
        "rows": flush.volume.rows,
        "batches": flush.volume.batches,
        "bytes": flush.volume.bytes,  # Arrow bytes, as the thresholds count them
        "files": flush.files,
        "file_bytes": flush.file_bytes,
    }


def _origin(flush: Flush, table_uri: str) -> Metadata:
    known: Metadata = {} if flush.version is None else {"delta_version": flush.version}
    return {
        "epoch": flush.epoch,
        "trigger": flush.trigger.value,
        "table_uri": dg.MetadataValue.path(table_uri),
        "run_id": dg.MetadataValue.dagster_run(flush.run_id),
        **known,
    }


def _times(flush: Flush) -> Metadata:
    """The rows' time range, if the dataset has a time column, and how long they took to get here."""
    times: Metadata = {}
    for name, instant in (("min_time", flush.min_time), ("max_time", flush.max_time)):
        if instant is not None:
            times[name] = dg.MetadataValue.timestamp(instant)
    if flush.finished_at is not None:
        times["duration_seconds"] = _seconds(flush.claimed_at, flush.finished_at)
        # Of the batch that waited longest: for so long, readers of the table did not see it.
        times["freshness_lag_seconds"] = _seconds(flush.oldest_staged_at or flush.claimed_at, flush.finished_at)
    return times


def _seconds(start: datetime, end: datetime) -> float:
    return max((end - start).total_seconds(), 0.0)  # the wall clock may have been set back

"""A published flush as Dagster shows it: an asset materialization whose numbers plot over time."""

from datetime import datetime

import dagster as dg

from timestore_pipeline.model.flush import Flush

Metadata = dict[str, int | float | str | dg.MetadataValue]


def asset_key(dataset: str) -> dg.AssetKey:
    return dg.AssetKey(["timestore", dataset])


def materialization(flush: Flush, table_uri: str) -> dg.AssetMaterialization:
    """The event of a published flush. Numbers are plain numbers: Dagster plots them on the asset's page."""
    return dg.AssetMaterialization(
        asset_key(flush.dataset),
        description=f"{flush.volume.rows} rows in {flush.files} files, flushed because of {flush.trigger}",
        metadata={**_amounts(flush), **_origin(flush, table_uri), **_times(flush)},
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
        # Of the batch that waited longest: what a reader of the table had to do without.
        times["freshness_lag_seconds"] = _seconds(flush.oldest_staged_at or flush.claimed_at, flush.finished_at)
    return times


def _seconds(start: datetime, end: datetime) -> float:
    return max((end - start).total_seconds(), 0.0)  # the wall clock may have been set back

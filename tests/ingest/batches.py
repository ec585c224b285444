"""Rows to stage, batches on their way, and what a segment holds of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from timestore_pipeline.ingest.catalog import DatasetCatalog
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.model.batch import Volume, batch_id
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.segments import attach_sealed

START = datetime(2026, 1, 1, tzinfo=UTC)
MAP = pa.map_(pa.string(), pa.int64())


def readings(rows: int, **columns: pa.DataType) -> pa.Table:
    """`at`, one a second, and `value`; more columns hold the row's number as their type."""
    table = {
        "at": pa.array([START + timedelta(seconds=n) for n in range(rows)], pa.timestamp("us", "UTC")),
        "value": pa.array([float(n) for n in range(rows)], pa.float64()),
    }
    return pa.table(table | {name: pa.array(range(rows)).cast(type_) for name, type_ in columns.items()})


def tagged(*keys: str) -> pa.Table:
    """One row with a map; DuckDB refuses one that has a key twice, Arrow does not."""
    return readings(1).append_column("tags", pa.array([[(key, 1) for key in keys]], MAP))


def queued(area: StagingArea, table: pa.Table, key: str | None = None, dataset: str = "d") -> QueuedBatch:
    return QueuedBatch(DatasetCatalog(area.ledger).fit(dataset, table), table, key)


def volumes(area: StagingArea, dataset: str = "d") -> dict[str, Volume]:
    """State -> volume, states without batches left out."""
    rows = area.ledger.batches.backlogs(dataset)
    return {state: volume for row in rows for state, volume in row.volumes.items() if volume.batches}


def sealed_rows(area: StagingArea, dataset: str = "d") -> dict[str, int]:
    """Batch id -> rows, of every row in the dataset's sealed segments, promised or not."""
    found: dict[str, int] = {}
    with open_engine() as connection:
        for segment in area.ledger.segments.of_dataset(dataset):
            attach_sealed(connection, area.directory.segment(dataset, segment.segment_id), "read", dataset)
            sql = f"SELECT {BATCH_COLUMN}, count(*) FROM read.rows WHERE {BATCH_COLUMN} >= 0 GROUP BY ALL"
            for sequence, rows in connection.execute(sql).fetchall():
                found[batch_id(segment.segment_id, sequence)] = rows
            connection.execute("DETACH read")
    return found


def publish(area: StagingArea, dataset: str = "d") -> FlushRef:
    """Mark everything sealed as published, as a flush does at its end."""
    ref = area.ledger.flushes.claim(dataset, Trigger.MANUAL, "test", area.identity.process_id)
    assert ref is not None
    area.ledger.flushes.record_export(ref, [], [])
    area.ledger.flushes.finalize(ref, 1)
    return ref


def counted(area: StagingArea, series: str) -> dict[str, float]:
    """Label value -> count of a counter with one label."""
    return {next(iter(c.labels.values())): c.value for c in area.ledger.counters.all() if c.series == series}

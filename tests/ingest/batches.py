"""Rows to stage, batches on their way, and what journals and segments hold of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from tests.staging.journals import records_in
from tests.staging.rolled import roll_up_all
from tests.staging.rows import contents
from timestore_pipeline.ingest.catalog import DatasetCatalog
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.journal_records import scan
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
    fitted = DatasetCatalog(area.ledger).fit(dataset, table)
    return QueuedBatch(fitted, table, key, fitted.rows.nbytes)


def group_commit(area: StagingArea, closed: Callable[[str], None] = lambda _: None) -> GroupCommit:
    """As a manager has it. closed: called with the id of each journal that is appended to no more."""
    return GroupCommit(area, DatasetCatalog(area.ledger).refit, closed)


def volumes(area: StagingArea, dataset: str = "d") -> dict[str, Volume]:
    """State -> volume, states without batches left out."""
    if dataset not in area.ledger.datasets.names():
        return {}
    return {state: volume for state, volume in area.ledger.audit.totals(dataset).kept.items() if volume.batches}


def journal_rows(area: StagingArea, dataset: str = "d") -> list[tuple[str, int]]:
    """Id and rows of every batch of the dataset in a journal file, promised or not, in the order of writing."""
    records = [one for path in area.directory.journal_files() for one in records_in(path)]
    return [(batch.batch_id, rows.num_rows) for r in records if r.dataset == dataset for batch, rows in r.slices()]


def journals_of(area: StagingArea, batches: Sequence[QueuedBatch]) -> list[str]:
    """Id of the journal in which each of these staged batches was written last."""
    places = {
        batch.batch_id: path.stem
        for path in area.directory.journal_files()
        for found in scan(path).records
        for batch in found.record.batches
    }
    return [places[batch.receipt.result(0).batch_id] for batch in batches]


def segment_rows(area: StagingArea, dataset: str = "d") -> dict[str, int]:
    """Batch id -> rows, of every row in the dataset's segments, once all that is promised was rolled up."""
    roll_up_all(area)
    found: dict[str, int] = {}
    with open_engine() as connection:
        for path in sorted(area.directory.segment_folder(dataset).glob("*.duckdb")):
            ids = {batch.sequence: batch.batch_id for batch in contents(path, dataset).batches}
            attach_sealed(connection, path, "read", dataset)
            sql = f"SELECT {BATCH_COLUMN}, count(*) FROM read.rows WHERE {BATCH_COLUMN} >= 0 GROUP BY ALL"
            found |= {ids[sequence]: rows for sequence, rows in connection.execute(sql).fetchall()}
            connection.execute("DETACH read")
    return found


def publish(area: StagingArea, dataset: str = "d") -> FlushRef:
    """Mark everything as published, as a flush does at its end."""
    roll_up_all(area)
    ref = area.ledger.flushes.claim(dataset, Trigger.MANUAL, "test", area.identity.process_id)
    assert ref is not None
    area.ledger.flushes.record_export(ref, [], [])
    area.ledger.flushes.finalize(ref, 1)
    return ref


def counted(area: StagingArea, series: str) -> dict[str, float]:
    """Label value -> count of a counter with one label."""
    return {next(iter(c.labels.values())): c.value for c in area.ledger.counters.all() if c.series == series}

"""Rows of the `flushes` table as `Flush`es, each with what its files add up to."""

from __future__ import annotations

from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Flush, FlushState, Trigger
from timestore_pipeline.staging.ledger.database import Row, instant_or_none
from timestore_pipeline.staging.ledger.phases import durations
from timestore_pipeline.system import clock

SELECT = """
SELECT name, flushes.*, count(file_id) AS file_count, coalesce(sum(files.bytes), 0) AS file_bytes,
    min(min_time) AS min_time, max(max_time) AS max_time
FROM flushes JOIN datasets USING (dataset_id) LEFT JOIN files USING (dataset_id, epoch)
"""
GROUP = " GROUP BY name, flushes.epoch"


def flush_of(row: Row) -> Flush:
    return Flush(
        dataset=row["name"],
        epoch=row["epoch"],
        state=FlushState(row["state"]),
        trigger=Trigger(row["trigger"]),
        run_id=row["run_id"],
        owner=row["owner"],
        volume=Volume(row["batches"], row["rows"], row["bytes"]),
        claimed_at=clock.from_micros(row["claimed_at"]),
        finished_at=instant_or_none(row["finished_at"]),
        error=row["error"],
        files=row["file_count"],
        file_bytes=row["file_bytes"],
        version=row["version"],
        oldest_staged_at=clock.from_micros(row["oldest_staged_at"]),
        min_time=instant_or_none(row["min_time"]),
        max_time=instant_or_none(row["max_time"]),
        phases=durations(row),
    )

"""Batches of any size that are distinguishable row by row, made by DuckDB so that making them adds little load.

The rows have the columns of the crash test's rows, and the same oracle judges them.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from timestore_pipeline.tools.crashtest.workload import ProvableBatch, checksum_sql, digest
from timestore_pipeline.tools.simulate.plan import Plan

# Times within the last hour; the values are binary fractions, which every engine prints alike.
_ROWS = f"""
SELECT *, {checksum_sql([])} AS checksum
FROM (
    SELECT $producer::BIGINT AS producer, $batch::BIGINT AS batch, range AS "row", $rows::BIGINT AS "of",
        $until::TIMESTAMPTZ - to_microseconds((hash($producer, $batch, range) % 3600000000)::BIGINT) AS "at",
        'station ' || (hash(range, $producer) % 50) AS name,
        (hash($batch, range) % 100000)::DOUBLE / 4 AS value
    FROM range($rows)
)
ORDER BY "row"
"""


def make_batch(plan: Plan, connection: duckdb.DuckDBPyConnection, producer: int, number: int) -> ProvableBatch:
    """The same plan, producer and number make the same batch. connection: its time zone must be UTC."""
    values = {"producer": producer, "batch": number, "rows": plan.rows, "until": plan.started_at}
    table: pa.Table = connection.sql(_ROWS, params=values).to_arrow_table()
    dataset = plan.names()[(producer + number) % plan.datasets]
    content = digest(table["checksum"].to_pylist())
    return ProvableBatch(producer, number, dataset, f"{producer}/{number}", plan.rows, content, table)

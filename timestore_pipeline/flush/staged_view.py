"""The claimed rows as one relation: segments in the columns they were written with, seen in those of the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

import duckdb

from timestore_pipeline.flush.retyped_columns import (
    LeewayOf,
    Retyped,
    RetypedColumn,
    in_batches,
    refuse_unfit,
    retyped_columns,
)
from timestore_pipeline.model.sql_types import duckdb_type, quote
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.ledger.datasets import DatasetRecord
from timestore_pipeline.staging.segments import attach_sealed

SEGMENT_COLUMN = "__timestore_segment"  # a number: sorting 9 million rows by ids instead takes half a gigabyte more


def create_staged_view(
    connection: duckdb.DuckDBPyConnection,
    area: StagingArea,
    record: DatasetRecord,
    claimed: Mapping[str, Sequence[int]],
    leeway: LeewayOf,
) -> None:
    """`staged`: exactly the claimed batches' rows, in the dataset's columns, over all segments.

    A row names its segment by the segment's position in `claimed`. Raises `RowsUnfit` when a row holds a
    value that is not kept in the column it is published in.
    """
    for segment_id in claimed:
        attach_sealed(connection, area.directory.segment(record.name, segment_id), segment_id, record.name)
    differ = area.ledger.datasets.segments_differ(record.name)
    retyped = retyped_columns(connection, record, list(claimed), leeway) if differ else {}
    refuse_unfit(connection, record.name, claimed, retyped)
    connection.execute(f"CREATE TEMP VIEW staged AS {select_staged(record, claimed, retyped)}")


def select_staged(record: DatasetRecord, held: Mapping[str, Sequence[int]], retyped: Retyped) -> str:
    """SQL for these batches' rows, in the dataset's columns; the segments are attached under their ids."""
    columns = (retyped.get(segment_id, ()) for segment_id in held)
    sources = " UNION ALL BY NAME ".join([_no_rows(record), *map(_rows_of, count(), held, held.values(), columns)])
    return f"SELECT {_casts(record)} FROM ({sources})"


def gather_staged(connection: duckdb.DuckDBPyConnection) -> None:
    """Copy the rows of `staged` out of the segments, for reading them many times: each look at 250 takes 0.1 s."""
    connection.execute("CREATE TEMP TABLE gathered AS SELECT * FROM staged")
    connection.execute("CREATE OR REPLACE TEMP VIEW staged AS SELECT * FROM gathered")


def _casts(record: DatasetRecord) -> str:
    """The dataset's types, whatever an older segment holds."""
    assert record.schema is not None, "a claimed dataset has a schema"
    columns = [
        f"CAST({quote(field.name)} AS {duckdb_type(field.type)}) AS {quote(field.name)}" for field in record.schema
    ]
    return ", ".join([SEGMENT_COLUMN, BATCH_COLUMN, *columns])


def _no_rows(record: DatasetRecord) -> str:
    """Names every column, so that one which no segment has yet is NULL instead of unknown."""
    assert record.schema is not None, "a claimed dataset has a schema"
    columns = ", ".join(f"NULL::{duckdb_type(field.type)} AS {quote(field.name)}" for field in record.schema)
    return f"(SELECT NULL::INTEGER AS {SEGMENT_COLUMN}, NULL::INTEGER AS {BATCH_COLUMN}, {columns} WHERE false)"


def _rows_of(position: int, segment_id: str, sequences: Sequence[int], retyped: Sequence[RetypedColumn]) -> str:
    """The claimed batches' rows of one segment."""
    casts = ", ".join(f"{column.value()} AS {quote(column.name)}" for column in retyped)
    columns = f"* REPLACE ({casts})" if casts else "*"
    rows = f"{quote(segment_id)}.rows WHERE {in_batches(sequences)}"
    return f"(SELECT {position} AS {SEGMENT_COLUMN}, {columns} FROM {rows})"

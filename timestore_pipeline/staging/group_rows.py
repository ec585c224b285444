"""The rows that one group commit adds to a segment, as Arrow: the batches' rows, and one that describes the batches."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence

import pyarrow as pa

from timestore_pipeline import clock
from timestore_pipeline.model.batch import StagedBatch

BATCH_COLUMN = "__timestore_batch"
COMMIT_COLUMN = "__timestore_commit"
NO_BATCH = -1  # marks the row that describes a commit; sequences start at 0


def _description(batches: Sequence[StagedBatch]) -> str:
    keys = ("sequence", "idempotency_key", "rows", "bytes", "staged_at")
    rows = [(b.sequence, b.idempotency_key, b.rows, b.bytes, clock.to_micros(b.staged_at)) for b in batches]
    return json.dumps([dict(zip(keys, row, strict=True)) for row in rows])


def copied_description(batches: Sequence[StagedBatch]) -> str:
    """As `_description`, with the ids: they do not follow from where the rows lie."""
    described = zip(json.loads(_description(batches)), batches, strict=True)
    return json.dumps([{**promise, "batch_id": batch.batch_id} for promise, batch in described])


def group_rows(batches: Sequence[tuple[StagedBatch, pa.Table]], no_data: pa.Table, *, copies: bool) -> pa.Table:
    """All batches' rows, each marked with its batch's position, and one last row that describes the batches.

    copies: of rows that lie in a segment already, under the same ids.

    A second table for the descriptions would be cleaner and cost a second statement, a fifth of a small batch's write.
    """
    rows = pa.concat_tables([*(table for _, table in batches), no_data]).combine_chunks()  # DuckDB pays per chunk
    promises = [batch for batch, _ in batches]
    describe = copied_description if copies else _description
    description = pa.concat_arrays([pa.nulls(rows.num_rows - 1, pa.string()), pa.array([describe(promises)])])
    return rows.append_column(BATCH_COLUMN, _positions(promises)).append_column(COMMIT_COLUMN, description)


def _positions(batches: Sequence[StagedBatch]) -> pa.Array:
    """Each batch's sequence as often as it has rows, then -1; built as bytes: Python integers would cost more."""
    positions = array("i")
    for batch in batches:
        positions += array("i", [batch.sequence]) * batch.rows
    positions.append(NO_BATCH)
    return pa.Array.from_buffers(pa.int32(), len(positions), [None, pa.py_buffer(positions)])

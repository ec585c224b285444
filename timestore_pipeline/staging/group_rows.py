"""The rows of a segment, as Arrow: those of its batches, and one that describes the batches."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence

import pyarrow as pa

from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.system import clock

BATCH_COLUMN = "__timestore_batch"
COMMIT_COLUMN = "__timestore_commit"
NO_BATCH = -1  # marks the row that describes the batches; sequences start at 0

_NONE = StagedBatch("", NO_BATCH, 1, 0, clock.from_micros(0), None)


def description(batches: Sequence[StagedBatch]) -> str:
    """JSON that describes each batch, in case the ledger is lost."""
    keys = ("batch_id", "sequence", "idempotency_key", "rows", "bytes", "staged_at")
    rows = [(b.batch_id, b.sequence, b.idempotency_key, b.rows, b.bytes, clock.to_micros(b.staged_at)) for b in batches]
    return json.dumps([dict(zip(keys, row, strict=True)) for row in rows])


def marked_rows(batches: Sequence[tuple[StagedBatch, pa.Table]]) -> pa.Table:
    """All batches' rows, each marked with its batch's position."""
    rows = pa.concat_tables([table for _, table in batches]).combine_chunks()  # DuckDB pays per chunk
    return rows.append_column(BATCH_COLUMN, _positions([batch for batch, _ in batches]))


def group_rows(batches: Sequence[tuple[StagedBatch, pa.Table]]) -> pa.Table:
    """The same, and one last row that describes the batches."""
    columns = batches[0][1].schema
    no_data = pa.Table.from_arrays([pa.nulls(1, kind) for kind in columns.types], schema=columns)
    promises = [batch for batch, _ in batches]
    rows = marked_rows([*batches, (_NONE, no_data)])
    described = pa.concat_arrays([pa.nulls(rows.num_rows - 1, pa.string()), pa.array([description(promises)])])
    return rows.append_column(COMMIT_COLUMN, described)


def _positions(batches: Sequence[StagedBatch]) -> pa.Array:
    """Each batch's sequence as often as it has rows; built as bytes: Python integers would cost more."""
    positions = array("i")
    for batch in batches:
        positions += array("i", [batch.sequence]) * batch.rows
    return pa.Array.from_buffers(pa.int32(), len(positions), [None, pa.py_buffer(positions)])

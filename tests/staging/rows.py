"""Segments with rows in them, written by this process or by one that was killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from tests.staging.processes import run_until_killed
from timestore_pipeline import clock
from timestore_pipeline.model.batch import StagedBatch, batch_id
from timestore_pipeline.model.columns import quote
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.segments import OpenSegment, SegmentHeader, attach_sealed

SCHEMA = pa.schema([pa.field("x", pa.int64()), pa.field("s", pa.string())])


def table(rows: int, schema: pa.Schema = SCHEMA) -> pa.Table:
    values = {"x": list(range(rows)), "s": [str(n) for n in range(rows)]}
    return pa.table({name: values[name] for name in schema.names}, schema=schema)


def open_segment(connection: duckdb.DuckDBPyConnection, path: Path, schema: pa.Schema = SCHEMA) -> OpenSegment:
    path.parent.mkdir(parents=True, exist_ok=True)
    return OpenSegment(connection, path, SegmentHeader(path.stem, "shard-0", path.parent.name, schema))


def append(segment: OpenSegment, *sizes: int) -> list[StagedBatch]:
    """One group commit of batches with these numbers of rows."""
    group = []
    for rows in sizes:
        sequence = segment.take_sequence()
        identity = batch_id(segment.header.segment_id, sequence)
        staged = StagedBatch(identity, sequence, rows, 8 * rows, clock.now(), f"key-{sequence}")
        group.append((staged, table(rows, segment.header.schema)))
    segment.append(group)
    return [staged for staged, _ in group]


def batches_in(path: Path) -> dict[int, int]:
    """Batch -> rows as a reader sees a sealed segment."""
    with open_engine() as connection:
        attach_sealed(connection, path, "read", path.parent.name)
        counted = connection.execute(f"SELECT {quote(BATCH_COLUMN)}, count(*) FROM read.rows GROUP BY ALL").fetchall()
    return {sequence: rows for sequence, rows in counted if sequence >= 0}


_KILLED = """
import os, sys
from pathlib import Path
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.engine import open_engine
from tests.staging.rows import append, open_segment
path, sizes = Path(sys.argv[1]), [int(size) for size in sys.argv[2].split()]

def die(*_):
    os.kill(os.getpid(), 9)
"""


def killed_segment(path: Path, sizes: Sequence[int]) -> None:
    """A segment with one commit for each size, whose process was killed right after."""
    body = "segment = open_segment(open_engine(), path)\nfor size in sizes: append(segment, size)\ndie()\n"
    killed_at(path, body, sizes)


def killed_at(path: Path, body: str, sizes: Sequence[int] = (5,)) -> None:
    """Run `body` with `path`, `sizes` and `die` at hand; fails when it does not die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    run_until_killed(_KILLED + body, path, " ".join(map(str, sizes)))

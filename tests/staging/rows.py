"""Segments with rows in them, and processes that are killed while they write one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from tests.staging.processes import run_until_killed
from timestore_pipeline.model.batch import StagedBatch, batch_id
from timestore_pipeline.model.sql_types import quote
from timestore_pipeline.staging.engine import EnginePool, open_engine
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.segments import (
    SegmentContents,
    SegmentHeader,
    attach_sealed,
    read_contents,
    write_segment,
)
from timestore_pipeline.system import clock

SCHEMA = pa.schema([pa.field("x", pa.int64()), pa.field("s", pa.string())])


def table(rows: int, schema: pa.Schema = SCHEMA) -> pa.Table:
    values = {"x": list(range(rows)), "s": [str(n) for n in range(rows)]}
    return pa.table({name: values[name] for name in schema.names}, schema=schema)


def contents(path: Path, dataset: str = "d") -> SegmentContents:
    """What a segment says about itself."""
    engines = EnginePool()
    try:
        return read_contents(path, dataset, engines)
    finally:
        engines.close()


def write(path: Path, *sizes: int, schema: pa.Schema = SCHEMA) -> list[StagedBatch]:
    """A segment of batches with these numbers of rows."""
    batches = [
        StagedBatch(batch_id(path.stem, number), number, rows, 8 * rows, clock.now(), f"key-{number}")
        for number, rows in enumerate(sizes)
    ]
    header = SegmentHeader(path.stem, "shard-0", path.parent.name, schema)
    with open_engine() as connection:
        write_segment(connection, path, header, [(batch, table(batch.rows, schema)) for batch in batches])
    return batches


def batches_in(path: Path) -> dict[int, int]:
    """Batch -> rows as a reader sees a segment."""
    with open_engine() as connection:
        attach_sealed(connection, path, "read", path.parent.name)
        counted = connection.execute(f"SELECT {quote(BATCH_COLUMN)}, count(*) FROM read.rows GROUP BY ALL").fetchall()
    return {sequence: rows for sequence, rows in counted if sequence >= 0}


_KILLED = """
import os, sys
from pathlib import Path
from timestore_pipeline.staging import segments
from tests.staging.rows import write
path, sizes = Path(sys.argv[1]), [int(size) for size in sys.argv[2].split()]

def die(*_):
    os.kill(os.getpid(), 9)
"""


def killed_at(path: Path, body: str, sizes: Sequence[int] = (5,)) -> None:
    """Run `body` with `path`, `sizes` and `die` at hand; fails when it does not die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    run_until_killed(_KILLED + body, path, " ".join(map(str, sizes)))

"""What a segment file says about itself and its batches, for a reader without a ledger.

Rows that do not add up to what the description says are damage, for the next flush to examine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from timestore_pipeline.errors import UnreadableSegment
from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.model.schema_json import schema_from_json
from timestore_pipeline.staging.engine import EnginePool
from timestore_pipeline.staging.group_rows import COMMIT_COLUMN
from timestore_pipeline.staging.segments import SegmentHeader, attach_sealed, translated
from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class SegmentContents:
    """A segment as its file describes it."""

    header: SegmentHeader
    batches: Sequence[StagedBatch]  # as described, in order, whether or not all their rows are there


def read_contents(path: Path, dataset: str, engines: EnginePool) -> SegmentContents:
    """Read header and batches; log and file stay as they are.

    Raises `UnreadableSegment`, also for a file that describes itself as another one, and `RetryLater` while a process
    holds it.
    """
    with engines.lend() as connection:
        attach_sealed(connection, path, "found", dataset)
        with translated(path, dataset):
            header = _header(connection, path, dataset)
            described = connection.execute(
                f"SELECT {COMMIT_COLUMN} FROM found.rows WHERE {COMMIT_COLUMN} IS NOT NULL"
            ).fetchall()
    batches = sorted(_described(path, dataset, described), key=lambda batch: batch.sequence)
    return SegmentContents(header, batches)


def _header(connection: duckdb.DuckDBPyConnection, path: Path, dataset: str) -> SegmentHeader:
    cursor = connection.execute("SELECT * FROM found.segment")
    names = [column[0] for column in cursor.description or []]
    found: dict[str, Any] = dict(zip(names, cursor.fetchone() or (), strict=False))
    if (found.get("segment_id"), found.get("dataset")) != (path.stem, dataset):
        raise _refused(path, dataset, f"says it is {found.get('segment_id')!r} of dataset {found.get('dataset')!r}")
    schema = schema_from_json(found["schema"])
    layout = found.get("time_column"), found.get("granularity")
    return SegmentHeader(found["segment_id"], found["shard"], found["dataset"], schema, *layout)


def _described(path: Path, dataset: str, rows: list[tuple[str]]) -> Iterator[StagedBatch]:
    try:
        for (text,) in rows:
            for described in json.loads(text):
                yield _batch(described)
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(path, dataset, f"holds a description that cannot be read: {error}") from error


def _batch(described: dict[str, Any]) -> StagedBatch:
    return StagedBatch(
        batch_id=described["batch_id"],
        sequence=described["sequence"],
        rows=described["rows"],
        bytes=described["bytes"],
        staged_at=clock.from_micros(described["staged_at"]),
        idempotency_key=described["idempotency_key"],
    )


def _refused(path: Path, dataset: str, why: str) -> UnreadableSegment:
    return UnreadableSegment(
        f"segment {path} {why}", dataset=dataset, hint="the file is kept; was it renamed, or copied over another one?"
    )

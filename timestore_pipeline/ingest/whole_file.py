"""Stages a file whole or not at all, as far as its content decides, and never twice.

It is read once to name it by its content, once to see that every row can be kept, and once to stage it in batches that
are keyed by content and first row. Killed anywhere, the same file staged again skips what is durable. The size of a
batch follows from the file alone: cut another way, the same rows would have other keys.
"""

from __future__ import annotations

import errno
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.errors import AccessDenied, InvalidInput, TimestoreError
from timestore_pipeline.ingest.formats.sources import Source
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.staging_loop import StagingLoop
from timestore_pipeline.ingest.trial import BATCH_ROWS
from timestore_pipeline.settings import Settings

_BATCH_BYTES = 8 << 20  # of the file; rows can be wide
_PIECE_BYTES = 1 << 20  # read at once
_SEGMENT_BYTES = 16 << 20  # of Arrow data; writing a segment takes two to three times that of memory


def open_staging(settings: Settings) -> StagingManager:
    """A manager for bulk: small segments, so that rolling up takes little memory however much goes through."""
    limit = min(settings.staging_segment_max_bytes, _SEGMENT_BYTES)
    return StagingManager.open(settings.model_copy(update={"staging_segment_max_bytes": limit}))


def content_digest(path: Path, *more: str, most: int = sys.maxsize) -> str:
    """SHA-256 of the file, and of what else tells it from files with the same bytes; hexadecimal.

    most: bytes; the rest is not read, because a file may grow faster than that.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(min(_PIECE_BYTES, most)):
            digest.update(piece)
            most -= len(piece)
    for text in more:
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()


def check_rows(staging: StagingManager, dataset: str, source: Source, go_on: Callable[[], None]) -> None:
    """Read every row and raise what staging it would raise about the data; nothing is staged.

    go_on: called before each batch; raises when the caller is to stop.
    """
    for first_row, rows in source.batches(rows_per_batch(source)):
        go_on()
        if rows.num_rows:
            with source.explaining(first_row):
                staging.check(dataset, rows)


def staging_loop(
    staging: StagingManager, dataset: str, source: Source, prefix: str, content: str, progress: Callable[[int], None]
) -> StagingLoop:
    """What stages the file when it is run; its keys are `<prefix>/<content>/<first row>`."""
    return StagingLoop(staging, dataset, rows_per_batch(source), prefix, progress, content)


def rows_per_batch(source: Source) -> int:
    """Follows from the file's size and rows alone."""
    rows, size = source.total_rows, source.path.stat().st_size
    return BATCH_ROWS if rows is None else max(1, min(BATCH_ROWS, _BATCH_BYTES * rows // max(size, 1)))


def is_the_files_fault(error: TimestoreError) -> bool:
    """Whether the file can never get in as it is; False = it may, once disk, memory, limits or access allow it."""
    if _is_systems(error.__cause__):
        return False
    from_the_data = isinstance(error, InvalidInput) and not isinstance(error, AccessDenied)
    return from_the_data or error.code in ("schema_conflict", "idempotency_conflict")


def _is_systems(error: BaseException | None) -> bool:
    """Arrow wraps both kinds into the same classes: an error of the system has a number."""
    if isinstance(error, (MemoryError, pa.ArrowMemoryError)):
        return True
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)

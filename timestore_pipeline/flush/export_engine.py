"""The DuckDB engine of one export: bounded memory, a folder of its own in the spool, errors that say whose fault it is.

The spool is scratch space. A crash leaves the folder behind, and a later sweep removes it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from timestore_pipeline.errors import DiskFull, RetryLater, TimestoreError
from timestore_pipeline.lake.faults import is_disk_full
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.system_errors import disk_failing, interruptions, system_error


@contextmanager
def export_engine(area: StagingArea, ref: FlushRef, memory_mb: int, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that spills into a folder of `spill_folder`.

    Raises `DiskFull`, `RetryLater` or another `TimestoreError` for what DuckDB raises within.
    """
    with area.engines.lend(memory_mb, spill) as connection, _translated(ref):
        yield connection


@contextmanager
def spill_folder(spool: Path, ref: FlushRef) -> Iterator[Path]:
    """A folder in the spool, removed afterwards; raises `DiskFull` or `RetryLater` when there can be none."""
    spill = _make_spill(spool, ref)
    try:
        yield spill
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _make_spill(spool: Path, ref: FlushRef) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=f"{ref.dataset}-{ref.epoch}-", dir=spool))
    except OSError as error:
        if is_disk_full(error):
            raise _spool_full(ref) from error
        hint = "check the folder's owner and mode; the kernel's log says what the disk had"
        raise RetryLater(f"the spool {spool} cannot be used: {error}", dataset=ref.dataset, hint=hint) from error


def _spool_full(ref: FlushRef) -> DiskFull:
    return DiskFull(
        f"no space left in the spool for flush {ref.epoch} of {ref.dataset!r}",
        dataset=ref.dataset,
        hint="make room in the staging directory; its batches are pending again and the next flush takes them",
    )


@contextmanager
def _translated(ref: FlushRef) -> Iterator[None]:
    """DuckDB's errors as typed ones; everything else passes.

    A file that could not be read or written is never a row's fault: `DiskFailing`, and the files are examined.
    """
    what = f"flush {ref.epoch} of {ref.dataset!r}"
    try:
        with interruptions():
            yield
    except duckdb.OutOfMemoryException as error:
        if "max_temp_directory_size" in str(error):  # nine tenths of what was free when the export began
            raise _spool_full(ref) from error
        raise RetryLater(
            f"{what} needs more memory: {str(error).splitlines()[0]}",
            dataset=ref.dataset,
            hint="raise TIMESTORE_EXPORT_MEMORY_MB: whatever is spilled, a sort holds 122,880 rows in memory",
        ) from error
    except duckdb.Error as error:
        if (refused := system_error(error, what, ref.dataset)) is not None:
            raise refused from error
        if isinstance(error, duckdb.IOException):
            raise disk_failing(error, what, ref.dataset) from error
        raise TimestoreError(f"{what}: {error}", dataset=ref.dataset) from error

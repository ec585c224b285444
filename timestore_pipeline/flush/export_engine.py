"""The DuckDB engine of an export or a compaction: bounded memory, a folder of its own, errors that name the fault.

The spool is scratch space. A crash leaves the folder behind; it names its process, and `scratch` removes it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import duckdb

from timestore_pipeline.errors import DiskFull, OutOfMemory, RetryLater, TimestoreError
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.scratch import prefix
from timestore_pipeline.staging.system_errors import disk_failing, interruptions, system_error
from timestore_pipeline.system.durable import is_disk_full


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine works for, as its folder and its errors say."""

    dataset: str
    what: str  # in a sentence: "flush 7 of 'weather'"
    kind: str  # "export" or "maintain", in the folder's name
    remedy: str  # what becomes of the work when the spool is full

    @classmethod
    def of_flush(cls, ref: FlushRef) -> Self:
        remedy = "its batches are pending again and the next flush takes them"
        return cls(ref.dataset, f"flush {ref.epoch} of {ref.dataset!r}", "export", remedy)


@contextmanager
def export_engine(area: StagingArea, work: Work, memory_mb: int, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that spills into a folder of `spill_folder`.

    Raises `DiskFull`, `RetryLater` or another `TimestoreError` for what DuckDB raises within.
    """
    with area.engines.lend(memory_mb, spill) as connection, _translated(work):
        yield connection


@contextmanager
def spill_folder(area: StagingArea, work: Work) -> Iterator[Path]:
    """A folder in the spool, removed afterwards; raises `DiskFull` or `RetryLater` when there can be none."""
    spill = _make_spill(area, work)
    try:
        yield spill
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _make_spill(area: StagingArea, work: Work) -> Path:
    spool = area.directory.spool
    try:
        return Path(tempfile.mkdtemp(prefix=prefix(work.kind, area.identity.process_id), dir=spool))
    except OSError as error:
        if is_disk_full(error):
            raise _spool_full(work) from error
        hint = "check the folder's owner and mode; the kernel's log has the disk's error"
        raise RetryLater(f"the spool {spool} cannot be used: {error}", dataset=work.dataset, hint=hint) from error


def _spool_full(work: Work) -> DiskFull:
    return DiskFull(
        f"no space left in the spool for {work.what}",
        dataset=work.dataset,
        hint=f"make room in the staging directory; {work.remedy}",
    )


@contextmanager
def _translated(work: Work) -> Iterator[None]:
    """DuckDB's errors as typed ones; everything else passes.

    A file that could not be read or written is never a row's fault: `DiskFailing`, and the files are examined.
    """
    try:
        with interruptions():
            yield
    except duckdb.OutOfMemoryException as error:
        if "max_temp_directory_size" in str(error):  # nine tenths of what was free when the export began
            raise _spool_full(work) from error
        raise OutOfMemory(
            f"{work.what} needs more memory: {str(error).splitlines()[0]}",
            dataset=work.dataset,
            hint="raise TIMESTORE_EXPORT_MEMORY_MB: whatever is spilled, a sort holds 122,880 rows in memory",
        ) from error
    except duckdb.Error as error:
        if (refused := system_error(error, work.what, work.dataset)) is not None:
            raise refused from error
        if isinstance(error, duckdb.IOException):
            raise disk_failing(error, work.what, work.dataset) from error
        raise TimestoreError(f"{work.what}: {error}", dataset=work.dataset) from error

"""Folders in the spool, of queries, exports and compactions; each names its process.

So any process finds what a killed one left behind.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from timestore_pipeline.errors import AccessDenied, RetryLater
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.system_errors import system_error

_NAME = re.compile(r"(?:query|export|maintain)-([0-9a-f]{16})-[^-]{8}")  # as `tempfile.mkdtemp` completes the prefix


@contextmanager
def query_folder(area: StagingArea) -> Iterator[Path]:
    """A folder for one query, removed afterwards; those of queries that were killed go first.

    Raises `DiskFull`, `AccessDenied` or another `TimestoreError` when there can be none.
    """
    folder = _make(area)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(area: StagingArea) -> Path:
    spool = area.directory.spool
    try:
        remove_abandoned(area)
        return Path(tempfile.mkdtemp(prefix=prefix("query", area.identity.process_id), dir=spool))
    except OSError as error:
        hint = "check the folder's owner and mode; the kernel's log has the disk's error"
        unusable = RetryLater(f"the spool {spool} cannot be used: {error}", hint=hint)
        raise system_error(error, f"the spool {spool}") or unusable from error


def prefix(kind: str, process_id: str) -> str:
    """Of the name of a folder in the spool; kind: query, export or maintain."""
    return f"{kind}-{process_id}-"


def remove_abandoned(area: StagingArea) -> None:
    """Remove the folders whose process is gone: a query's folder holds segments that may be published already."""
    for path, owner in owned_folders(area.directory):
        with suppress(AccessDenied):  # another user's process, which lives for all we know
            if not area.identity.is_alive(owner):
                shutil.rmtree(path, ignore_errors=True)


def owned_folders(directory: StagingDirectory) -> list[tuple[Path, str]]:
    """Each with the process that works in it."""
    found = ((path, owner_of(path.name)) for path in directory.spool.iterdir())
    return [(path, owner) for path, owner in found if owner is not None]


def owner_of(name: str) -> str | None:
    """The process that has a folder of this name; None = it is something else."""
    match = _NAME.fullmatch(name)
    return None if match is None else match[1]

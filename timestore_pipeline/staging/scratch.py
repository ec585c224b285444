"""Folders of queries in the spool; each names its process, so anybody can tell what a killed one left behind."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from timestore_pipeline.errors import AccessDenied, RetryLater
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.system_errors import system_error

_NAME = re.compile(r"query-([0-9a-f]{16})-[^-]{8}")  # as `tempfile.mkdtemp` completes the prefix


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
        return Path(tempfile.mkdtemp(prefix=f"query-{area.identity.process_id}-", dir=spool))
    except OSError as error:
        hint = "check the folder's owner and mode; the kernel's log says what the disk had"
        unusable = RetryLater(f"the spool {spool} cannot be used: {error}", hint=hint)
        raise system_error(error, f"the spool {spool}") or unusable from error


def remove_abandoned(area: StagingArea) -> None:
    """Remove the folders of queries whose process is gone: they hold on to segments that may be published by now."""
    for path in list(area.directory.spool.iterdir()):
        owner = owner_of(path.name)
        with suppress(AccessDenied):  # another user's process, which lives for all we know
            if owner is not None and not area.identity.is_alive(owner):
                shutil.rmtree(path, ignore_errors=True)


def owner_of(name: str) -> str | None:
    """The process whose query has a folder of this name; None = it is something else."""
    match = _NAME.fullmatch(name)
    return None if match is None else match[1]

"""What lies in the place of a dataset's table, without opening it: when it changes, a blocked dataset is due again.

No module of Delta or Arrow is imported: every tick and every `timestore status` asks, for blocked datasets only.
"""

from __future__ import annotations

import os
from pathlib import Path

State = tuple[tuple[int, ...] | None, ...]


def state(lake: Path | None, dataset: str) -> State:
    """Differs after a file, folder or table was moved, mended or given other permissions, and after each commit.

    lake: its folder; None = a bucket, whose state is not looked at: a slow store would hold up the tick.
    """
    if lake is None:
        return ()
    table = lake / dataset
    log = table / "_delta_log"
    return (*map(_identity, (lake, *lake.parents)), *map(_identity_and_change, (table, log)), _newest_change(log))


def _identity(path: Path) -> tuple[int, ...] | None:
    """Without the last change: what happens to other files in these folders says nothing about this table."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mode, found.st_uid


def _identity_and_change(path: Path) -> tuple[int, ...] | None:
    try:
        return path.stat().st_ino, path.stat().st_ctime_ns
    except OSError:
        return None


def _newest_change(log: Path) -> tuple[int, ...] | None:
    """Of a file in the log: one that is mended in its place leaves the folder unchanged."""
    try:
        with os.scandir(log) as entries:
            found = [entry.stat() for entry in entries]
        return max((file.st_ctime_ns for file in found), default=0), sum(file.st_size for file in found)
    except OSError:
        return None

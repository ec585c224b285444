"""Whether the guardrails fit the disk, and whether the disk takes a write and makes it durable in time.

The write goes into an unnamed file, which disappears when it is closed, and after a crash as well.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from timestore_pipeline import clock
from timestore_pipeline.staging.directory import FilesystemSpace, StagingDirectory, folder_bytes
from timestore_pipeline.tools.doctor.finding import Deployment, Finding, failed, ok, warning

_LEAST_SHARE = 0.05  # of the disk free; filesystems slow down below, and other programs write too
_SLOW_COMMIT = 0.1  # seconds; every acknowledgement waits for two commits
_PROBE = bytes(4096)


@dataclass(frozen=True, slots=True)
class DurableWrite:
    """One page written and made durable. `stamped_at`: the file's modification time, by the filesystem's clock."""

    seconds: float
    stamped_at: datetime


def disk_fit(deployment: Deployment) -> Iterator[Finding]:
    """Free space against the space that the guardrails let the datasets take."""
    settings, directory = deployment.settings, deployment.directory
    place = nearest_folder(directory.root)
    space, used = StagingDirectory(place).volume(), _staged_bytes(directory)
    datasets = max(len(deployment.datasets()), 1)
    total = settings.staging_max_total_bytes
    allowed = total or settings.staging_max_dataset_bytes * datasets
    what = "the total guardrail" if total else f"{datasets} times the guardrail of a dataset"
    if space.cannot_hold(total):
        yield failed(
            f"TIMESTORE_STAGING_MAX_TOTAL_BYTES={total} does not fit the disk of {space.size} bytes",
            "lower it: producers refuse to start",
        )
    elif not allowed and deployment.problems:
        yield ok(f"{_mb(space.available)} free; limits that contradict each other limit nothing")
    elif not allowed:
        yield warning("no guardrail is on: staged rows may fill the disk", "set TIMESTORE_STAGING_MAX_DATASET_BYTES")
    elif space.size and allowed > space.available + used:
        seen = f"{_mb(space.available)} free and {_mb(used)} staged do not hold {what}, {_mb(allowed)}"
        yield warning(seen, "set TIMESTORE_STAGING_MAX_TOTAL_BYTES below the free space, or make room")
    else:
        yield ok(f"{_mb(space.available)} free; {what}: {_mb(allowed)}, of which {_mb(used)} are used")
    yield from _nearly_full(place, space, settings.staging_min_free_bytes)


def disk_speed(deployment: Deployment) -> Iterator[Finding]:
    """How long one durable write takes in the staging directory."""
    place = nearest_folder(deployment.directory.root)
    seconds = durable_write(place).seconds
    if seconds > _SLOW_COMMIT:
        remedy = "look at the disk's load and health: every acknowledgement waits for two such writes"
        yield warning(f"a durable write in {place} took {seconds * 1000:.0f} ms", remedy)
    else:
        yield ok(f"a durable write in {place} takes {seconds * 1000:.1f} ms")


def durable_write(folder: Path) -> DurableWrite:
    """Raises `OSError` when the folder cannot be written."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        began = clock.monotonic()
        probe.write(_PROBE)
        probe.flush()
        os.fsync(probe.fileno())
        stamped = os.fstat(probe.fileno()).st_mtime_ns // 1000
        return DurableWrite(clock.monotonic() - began, clock.from_micros(stamped))


def nearest_folder(path: Path) -> Path:
    """The folder itself, or where it would be made."""
    while not path.is_dir():
        path = path.parent
    return path


def in_the_way(path: Path) -> Path | None:
    """The nearest existing path on the way to the folder, if it is not a folder."""
    place = next(place for place in (path, *path.parents) if os.path.lexists(place))
    return None if place.is_dir() else place


def _nearly_full(place: Path, space: FilesystemSpace, kept: int) -> Iterator[Finding]:
    if space.lacks(kept) > 0:
        seen = f"{_mb(space.available)} are free on the disk of {place}: no more than is kept for flushes"
        yield failed(seen, "make room: every batch is refused; or lower TIMESTORE_STAGING_MIN_FREE_BYTES")
    elif space.available < _LEAST_SHARE * space.size:
        seen = f"{_mb(space.available)} of {_mb(space.size)} are free on the disk of {place}"
        yield warning(seen, "make room: a full disk refuses every batch")
    if os.statvfs(place).f_files and not os.statvfs(place).f_favail:
        yield failed(f"the disk of {place} has no inode left", "remove files: no segment can be made")


def _staged_bytes(directory: StagingDirectory) -> int:
    folders = (directory.segment_folder(dataset) for dataset in directory.datasets())
    return folder_bytes(directory.journals) + sum(map(folder_bytes, folders))


def _mb(amount: int) -> str:
    return f"{amount / 1e6:,.0f} MB"

"""What the host provides: room for the guardrails, a disk that is fast enough, a clock that is right, and permissions.

The disk's speed and clock are measured with an unnamed file, which disappears when it is closed, and after a crash as
well.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from timestore_pipeline.staging.directory import FilesystemSpace, StagingDirectory, folder_bytes
from timestore_pipeline.staging.ledger.inspection import LedgerInspection
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import CheckFinding, Deployment, failed, ok, warning

_LEAST_SHARE = 0.05  # of the disk free; filesystems slow down below, and other programs write too
_SLOW_COMMIT = 0.1  # seconds; every acknowledgement waits for two commits
_PROBE = bytes(4096)
_SKEW = timedelta(seconds=5)  # as the flush decision allows
_MOST_NAMED = 3  # files named one by one


@dataclass(frozen=True, slots=True)
class DurableWrite:
    """One page written and made durable. `stamped_at`: the file's modification time, by the filesystem's clock."""

    seconds: float
    stamped_at: datetime


def disk_fit(deployment: Deployment) -> Iterator[CheckFinding]:
    """Free space against the space that the guardrails let the datasets take."""
    settings, directory = deployment.settings, deployment.directory
    place = nearest_folder(directory.root)
    space, used = StagingDirectory(place).volume(), _staged_bytes(directory)
    datasets = max(len(deployment.datasets()), 1)
    total = settings.staging_max_total_bytes
    allowed = total or settings.staging_max_dataset_bytes * datasets
    what = "the total guardrail" if total else f"{datasets} times the guardrail of a dataset"
    if misfit := space.misfit(total):
        yield failed(misfit, "lower it: producers refuse to start")
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


def disk_speed(deployment: Deployment) -> Iterator[CheckFinding]:
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


def _nearly_full(place: Path, space: FilesystemSpace, kept: int) -> Iterator[CheckFinding]:
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


def clocks(deployment: Deployment) -> Iterator[CheckFinding]:
    """A clock that was set back makes waiting batches look younger and breaks leases; such batches count as due."""
    place = nearest_folder(deployment.directory.root)
    apart = abs(durable_write(place).stamped_at - clock.now())
    if apart > _SKEW:
        seen = f"the filesystem of {place} stamps files {apart.total_seconds():.0f} s apart from this host's clock"
        yield warning(seen, "synchronise both with NTP")
    jumps = _from_the_future(deployment)
    if jumps:
        yield warning("; ".join(jumps), "the clock was set back: check NTP; staged rows are flushed all the same")
    if apart <= _SKEW and not jumps:
        yield ok(f"{clock.now():%Y-%m-%d %H:%M:%S} UTC, {apart.total_seconds():.1f} s from the filesystem's clock")


def _from_the_future(deployment: Deployment) -> list[str]:
    found = deployment.ledger(LedgerInspection.newest_instants) or {}
    now = clock.now()
    return [
        f"{kind} at {instant:%Y-%m-%d %H:%M:%S} UTC, {(instant - now).total_seconds():.0f} s from now"
        for kind, instant in found.items()
        if instant > now + _SKEW
    ]


def permissions(deployment: Deployment) -> Iterator[CheckFinding]:
    """Folders and files, their owner, and the other users' access."""
    root = deployment.directory.root
    if not root.is_dir():
        yield from _to_be_made(root)
        return
    denied = [path for path in _needed(root) if not os.access(path, _mode(path))]
    foreign = [path for path in _needed(root) if path.stat().st_uid != os.geteuid()]
    if denied:
        yield failed(f"no access to {_some(denied)}", f"chown -R the user that runs timestore {root}; chmod -R u+rwX")
    if foreign and not denied:
        yield warning(
            f"{_some(foreign)} belongs to another user than {os.geteuid()}, who runs this command",
            "run every process of a staging directory, and this command, as one user",
        )
    yield from _access_of_others(root)
    if apart := deployment.directory.apart():
        yield failed(apart, "move them together, or link one into the other's filesystem: no process starts meanwhile")
    if not denied:
        durable_write(root)
        yield ok(f"{root} can be read and written")


def _access_of_others(root: Path) -> Iterator[CheckFinding]:
    """Only the folder counts: who cannot enter it reaches nothing in it."""
    if root.stat().st_mode & stat.S_IWOTH:
        yield warning(f"every user of this host may write in {root}", f"chmod o-w {root}")
    elif root.stat().st_mode & stat.S_IRWXO:
        yield warning(f"every user of this host may look into {root}, staged rows included", f"chmod o-rwx {root}")
    elif root.stat().st_mode & stat.S_IRWXG:
        remedy = f"chmod g-rwx {root}, unless the group shares it on purpose"
        yield warning(f"users of the group {root.stat().st_gid} may look into {root}, staged rows included", remedy)


def _to_be_made(root: Path) -> Iterator[CheckFinding]:
    if (place := in_the_way(root)) is not None:
        yield failed(f"{place} is no folder", "move it away, or choose another TIMESTORE_STAGING_DIRECTORY")
        return
    place = nearest_folder(root)
    if os.access(place, os.W_OK | os.X_OK):
        yield ok(f"{root} does not exist yet and can be made")
    else:
        yield failed(f"{root} does not exist, and {place} may not be written", "make it and give it to this user")


def _needed(root: Path) -> list[Path]:
    """The paths that every process opens; a flush checks the segments that it takes."""
    folders = [root, *(root / name for name in ("segments", "processes", "spool", "quarantine"))]
    datasets = [path for path in root.glob("segments/*") if path.is_dir()]
    files = [*root.glob("ledger.sqlite*"), *root.glob("processes/*.lock"), *root.glob("segments/*/*.duckdb*")]
    return [path for path in [*folders, *datasets, *files] if path.exists()]


def _mode(path: Path) -> int:
    return os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)


def _some(paths: list[Path]) -> str:
    named = ", ".join(str(path) for path in paths[:_MOST_NAMED])
    return named if len(paths) <= _MOST_NAMED else f"{named} and {len(paths) - _MOST_NAMED} more"

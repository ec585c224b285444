"""Whether this user has the permissions in the staging directory that producers and flushes need."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from timestore_pipeline.tools.doctor.disk import durable_write, in_the_way, nearest_folder
from timestore_pipeline.tools.doctor.finding import Deployment, Finding, failed, ok, warning

_MOST_NAMED = 3  # files named one by one


def permissions(deployment: Deployment) -> Iterator[Finding]:
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


def _access_of_others(root: Path) -> Iterator[Finding]:
    """Only the folder counts: who cannot enter it reaches nothing in it."""
    if root.stat().st_mode & stat.S_IWOTH:
        yield warning(f"every user of this host may write in {root}", f"chmod o-w {root}")
    elif root.stat().st_mode & stat.S_IRWXO:
        yield warning(f"every user of this host may look into {root}, staged rows included", f"chmod o-rwx {root}")
    elif root.stat().st_mode & stat.S_IRWXG:
        remedy = f"chmod g-rwx {root}, unless the group shares it on purpose"
        yield warning(f"users of the group {root.stat().st_gid} may look into {root}, staged rows included", remedy)


def _to_be_made(root: Path) -> Iterator[Finding]:
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

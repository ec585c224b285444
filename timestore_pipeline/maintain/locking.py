"""One maintenance of a dataset at a time on this host: a lock that the kernel releases when its process ends.

The lock saves work and gives the operator a clear error. Correctness does not depend on it: conflicting maintenance
from another host, or on a filesystem without locks, is refused by the Delta log.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timestore_pipeline.errors import AccessDenied, MaintenanceInProgress
from timestore_pipeline.system.durable import make_folder, open_private


@contextmanager
def maintaining(folder: Path, dataset: str) -> Iterator[None]:
    """Raise `MaintenanceInProgress` if another process holds the lock, `AccessDenied` if there can be no lock file."""
    try:
        make_folder(folder, private=True)
        descriptor = open_private(folder / f"{dataset}.lock")
    except OSError as error:
        hint = "run as the owner of the staging directory"
        raise AccessDenied(f"the system refuses {folder}: {error}", dataset=dataset, hint=hint) from error
    try:
        _lock(descriptor, dataset)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, dataset: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        hint = "nothing to do: the other process does the work"
        raise MaintenanceInProgress(f"dataset {dataset!r} is being maintained", dataset=dataset, hint=hint) from error
    except OSError:
        return  # a filesystem without locks

"""One maintenance of a dataset at a time on this host: a lock that the kernel drops with its process.

It spares work and tells an operator. That rows are never doubled does not rest on it: maintenance from another host, or
beside a filesystem without locks, is refused by the Delta log.
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
    """Raise `MaintenanceInProgress` while another process is at it, `AccessDenied` when there can be no lock file."""
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
        hint = "nothing to do: the other one does the work"
        raise MaintenanceInProgress(f"dataset {dataset!r} is being maintained", dataset=dataset, hint=hint) from error
    except OSError:
        return  # a filesystem without locks

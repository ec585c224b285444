"""Opening a staging directory without ever taking a lost ledger for a new one.

Segment files are made after the ledger, so where there are some and no ledger, it was lost. A process that opens the
directory holds a shared lock for that moment, and a rebuild an exclusive one: no process finds half a ledger, and the
kernel drops the lock of a process that dies.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from timestore_pipeline.errors import LedgerLost, RetryLater
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.liveness import others_alive

_REBUILD = (
    "run `timestore recover`: it rebuilds the ledger from segments and Delta log; or put ledger.sqlite back first"
)


@contextmanager
def opening(directory: StagingDirectory) -> Iterator[bool]:
    """While a process opens ledger and identity; gives whether the ledger may be a new one.

    Raises `LedgerLost`, and `RetryLater` while a rebuild is under way.
    """
    with _locked(directory, fcntl.LOCK_SH, "its ledger is being rebuilt"):
        known = directory.holds_rows()  # asked first: a ledger is there before the first of them
        if (known or directory.ledger_log.exists()) and not directory.ledger.exists():
            raise lost(directory)
        if directory.rebuilding() is not None and not directory.ledger.exists():
            raise lost(directory)
        yield not known


@contextmanager
def exclusively(directory: StagingDirectory) -> Iterator[None]:
    """While no other process has the directory open, nor can; raises `RetryLater` that names the processes that do."""
    with _locked(directory, fcntl.LOCK_EX, "another process opens or rebuilds it at this moment"):
        if alive := others_alive(directory.processes):
            raise RetryLater(
                f"{directory.root} is used by {len(alive)} living processes: {', '.join(alive)}",
                hint="stop producers, sensors and flushes; then run `timestore recover` again",
            )
        yield


def lost(directory: StagingDirectory) -> LedgerLost:
    return LedgerLost(f"{directory.root} has staged segments, but the ledger {directory.ledger} is lost", hint=_REBUILD)


@contextmanager
def _locked(directory: StagingDirectory, kind: int, why: str) -> Iterator[None]:
    descriptor = os.open(directory.processes, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        yield
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
        raise RetryLater(f"{directory.root} cannot be opened now: {why}", hint="try again") from error
    finally:
        os.close(descriptor)

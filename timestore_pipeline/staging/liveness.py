"""Who is alive: each process holds a lock on a file of its own, and the kernel drops it when the process ends.

A POSIX record lock is used because a forked child does not inherit it: the lock says that *this* process lives, not
that some descendant does. Such a lock is lost when its process closes *any* descriptor of the file, so a process
never opens its own lock files a second time; `_held` remembers which those are, by id: the same folder may have been
opened under two names. Who asks takes a shared lock for a moment, so two who ask at once do not see each other.

A directory is opened without ever taking a lost ledger for a new one. Segment files are made after the ledger, so where
there are some and no ledger, it was lost. A process that opens the directory holds a shared lock for that moment, and a
rebuild an exclusive one: no process finds half a ledger, and the kernel drops the lock of a process that dies.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timestore_pipeline.errors import AccessDenied, LedgerLost, RetryLater, TimestoreError
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger.processes import Processes, ProcessRecord
from timestore_pipeline.staging.system_errors import disk_failing, system_error
from timestore_pipeline.system.durable import open_private

_log = logging.getLogger(__name__)

_REBUILD = (
    "run `timestore recover`: it rebuilds the ledger from segments and Delta log; or put ledger.sqlite back first"
)

_held: set[str] = set()  # process ids, unique everywhere
os.register_at_fork(after_in_child=_held.clear)


class ProcessIdentity:
    """This process, as an owner of segments and claims; alive until `release` or the end of the process."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.process_id = uuid.uuid4().hex[:16]
        self._folder = folder
        self._processes = processes
        self._path = folder / f"{self.process_id}.lock"
        self._descriptor = self._lock()
        # Registered after the lock is held: a reader of the row finds a live process.
        try:
            processes.add(ProcessRecord(self.process_id, os.getpid(), socket.gethostname()))
        except TimestoreError:
            self._unlock()
            self._path.unlink(missing_ok=True)
            raise

    def is_alive(self, process_id: str) -> bool:
        """Whether a process that registered here still runs.

        Raises `AccessDenied` for another user's lock file, `RetryLater` when the system does not answer.
        """
        return process_id in _held or _locked_by_other(self._folder / f"{process_id}.lock")

    def forget_dead(self) -> None:
        """Drop the records and lock files of processes that are gone and own nothing any more.

        A lock file that cannot be removed stays: it is not looked up any more.
        """
        for process in self._processes.all():
            if not self.is_alive(process.process_id) and self._processes.forget_idle(process.process_id):
                try:
                    (self._folder / f"{process.process_id}.lock").unlink(missing_ok=True)
                except OSError as error:
                    _log.warning("the lock file of process %s could not be removed: %s", process.process_id, error)

    def release(self) -> None:
        """Count as dead from now on: other processes can take over what is still owned."""
        if self.process_id not in _held:
            return
        try:
            if self._processes.forget_idle(self.process_id):
                self._path.unlink(missing_ok=True)
        except (TimestoreError, OSError) as error:
            _log.warning("process %s stays registered until another process removes it: %s", self.process_id, error)
        finally:
            self._unlock()

    def _lock(self) -> int:
        try:
            descriptor = open_private(self._path)
        except OSError as error:
            raise system_error(error, f"the lock file {self._path}") or error from error
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _held.add(self.process_id)
        return descriptor

    def _unlock(self) -> None:
        _held.discard(self.process_id)
        os.close(self._descriptor)


def others_alive(folder: Path) -> list[str]:
    """Ids of the living processes that have registered in a folder, those of this process included."""
    ids = sorted(path.stem for path in folder.glob("*.lock"))
    return [name for name in ids if name in _held or _locked_by_other(folder / f"{name}.lock")]


def _locked_by_other(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError as error:
        hint = f"run as the owner of {path.parent}, or give that user read and write access to its files"
        raise AccessDenied(f"the system does not let us ask whether {path} is locked: {error}", hint=hint) from error
    except OSError as error:
        raise _unanswered(path, error) from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise _unanswered(path, error) from error
    finally:
        os.close(descriptor)
    return False


def _unanswered(path: Path, error: OSError) -> TimestoreError:
    """Neither alive nor dead: if it counted as dead, it would lose its segments to another process."""
    what = f"the lock {path}"
    return system_error(error, what) or disk_failing(error, what, None)


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

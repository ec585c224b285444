"""The ledger's SQLite file: how it is opened, how a write transaction is taken.

Any process may open it. Every write is one short transaction that survives power loss once its call has returned. A
crash inside a transaction leaves nothing of it: SQLite rolls it back when the file is next opened.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from timestore_pipeline.errors import AccessDenied, DiskFull, LedgerBusy, TimestoreError, UnreadableLedger
from timestore_pipeline.staging.system_errors import disk_failing, system_error
from timestore_pipeline.system import clock
from timestore_pipeline.system.durable import open_private

Row = sqlite3.Row
Parameters = Sequence[Any] | Mapping[str, Any]

_LEAST_ROOM = 65_536  # bytes; with less SQLite cannot even make the index of its log
_LOG_BYTES = 16 << 20  # what the log keeps on disk once a large transaction has been folded in
_DESCRIPTORS = 3  # of the database, its log and the log's index
_BUSY_TIMEOUT = 30.0  # seconds; transactions take about a millisecond, so this is a stopped process, not a busy one


class Database:
    """One writing and one reading connection of this process, each guarded by a lock so that threads can share them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._write_lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._log = -1  # descriptor of the log, which stays the same file as long as any connection is open
        self._writer = _connect(path)
        try:
            self._reader = _connect(path)
        except TimestoreError:
            self._writer.close()
            raise
        self._writer.execute("PRAGMA busy_timeout = 0")  # `_patiently` waits in its own way

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed on exit, rolled back by any exception.

        Raises `LedgerBusy`, `DiskFull` or `Corrupted`; after each of them nothing of the transaction happened.
        """
        with self._write_lock, translated(self.path), _begun(self._writer):
            yield self._writer

    @contextmanager
    def quick_transaction(self) -> Iterator[sqlite3.Connection]:
        """As `transaction`, and other processes may commit while the disk still writes this one.

        The write lock is released before the log is flushed, so one flush serves the transactions of several processes.
        Other connections see the changes a little before they are durable; whatever they commit flushes these as well.
        Raises as `transaction`, and `DiskFailing` after which the changes may count or not.
        """
        with self._write_lock, translated(self.path):
            self._writer.execute("PRAGMA synchronous = NORMAL")
            try:
                with _begun(self._writer):
                    yield self._writer
            finally:
                self._writer.execute("PRAGMA synchronous = FULL")
        self._flush_log()

    def _flush_log(self) -> None:
        """SQLite itself flushes the log before it copies any of it into the database, so the rest is in the log."""
        path = f"{self.path}-wal"
        try:
            if self._log < 0:
                self._log = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(self._log)
        except OSError as error:
            raise system_error(error, path) or disk_failing(error, path, None) from error

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Several reads that see one and the same state."""
        with self._read_lock, translated(self.path):
            try:
                self._reader.execute("BEGIN")
                yield self._reader
            finally:
                if self._reader.in_transaction:
                    self._reader.execute("COMMIT")

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        with self._read_lock, translated(self.path):
            return self._reader.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        with self._read_lock, translated(self.path):
            found: Row | None = self._reader.execute(sql, parameters).fetchone()
            return found

    def change_marker(self) -> int:
        """A number that moves whenever any other connection commits; costs microseconds, so it can be polled."""
        with self._read_lock, translated(self.path):
            return int(self._reader.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._writer.close()
            self._reader.close()
            if self._log >= 0:
                os.close(self._log)
                self._log = -1


@contextmanager
def _begun(connection: sqlite3.Connection) -> Iterator[None]:
    try:  # an interrupt may come with the lock just taken, and the lock keeps every process waiting
        _patiently(connection, "BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def marks(values: Iterable[Any]) -> str:
    """`?, ?, ?` for an IN list."""
    return ", ".join("?" for _ in values)


def micros_or_none(instant: datetime | None) -> int | None:
    """As the ledger stores an instant that may be missing."""
    return None if instant is None else clock.to_micros(instant)


def instant_or_none(micros: int | None) -> datetime | None:
    """The inverse of `micros_or_none`."""
    return None if micros is None else clock.from_micros(micros)


def _connect(path: Path) -> sqlite3.Connection:
    with translated(path):
        if not path.exists():
            _make_private(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT)
        try:
            connection.row_factory = sqlite3.Row
            _patiently(connection, "PRAGMA journal_mode = WAL")  # busy while another process makes the same switch
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection


def _make_private(path: Path) -> None:
    """The log and its index get the mode that the database has. What the system refuses here it refuses SQLite too."""
    with suppress(OSError):
        os.close(open_private(path))


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute what takes the write lock.

    SQLite's own busy handler sleeps up to 100 ms between tries, which is what eight synchronous producers would then
    wait; a jittered millisecond keeps the slowest of them within tens of milliseconds.
    """
    deadline = clock.monotonic() + _BUSY_TIMEOUT
    while not _try_execute(connection, statement):
        if clock.monotonic() > deadline:
            raise LedgerBusy(
                f"the ledger's write lock was held for {_BUSY_TIMEOUT:.0f} s",
                hint="look for a stopped process that has ledger.sqlite open",
            )
        clock.sleep(random.uniform(0.0002, 0.0015))


def _try_execute(connection: sqlite3.Connection, statement: str) -> bool:
    try:
        connection.execute(statement)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return False
        raise
    return True


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as the product's: those with a remedy, or a plain one."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(path, error) from error


def _translate(path: Path, error: sqlite3.Error) -> TimestoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _disk_full(path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LedgerBusy(f"the ledger {path} is locked", hint="try again")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        hint = "stop all processes and run `timestore recover`: it keeps the file and rebuilds the ledger"
        return UnreadableLedger(f"the ledger {path} is damaged: {error}", hint=hint)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR) and (refused := _system_says(path)) is not None:
        return refused
    if code == sqlite3.SQLITE_IOERR:
        return disk_failing(error, f"the ledger {path}", None)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return AccessDenied(
            f"the system refuses the ledger {path}: {error}",
            hint=f"run as the owner of {path.parent}, or give that user read and write access to it and its files",
        )
    return TimestoreError(f"the ledger {path} failed: {error}", hint="check the directory's owner, mode and free space")


def _system_says(path: Path) -> TimestoreError | None:
    """SQLite keeps the system's answer to itself, so the system is asked again.

    Never about the file itself: a process that closes any descriptor of it would lose SQLite's locks.
    """
    try:
        with ExitStack() as opened:
            for _ in range(_DESCRIPTORS):
                opened.callback(os.close, os.open(path.parent, os.O_RDONLY))
        space = os.statvfs(path.parent)
    except OSError as error:
        return system_error(error, f"the ledger {path}")
    is_full = space.f_blocks and space.f_bavail * space.f_frsize < _LEAST_ROOM
    no_inodes = space.f_files and not space.f_favail  # some filesystems count none
    return _disk_full(path) if is_full or no_inodes else None


def _disk_full(path: Path) -> DiskFull:
    return DiskFull(f"no space left for the ledger {path}", hint="free space, then try again; nothing was staged")

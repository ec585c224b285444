"""The journal of this process: appended to, flushed to disk, never changed where anything was written.

A group commit is one write of all its records and one flush. What the ledger names was flushed before, so any process
may read it at any time. A torn end was never promised. After an error the file's last bytes are unknown:
the journal is given up, and the next group begins another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.errors import RetryLater
from timestore_pipeline.staging.journal_records import Encoded, first_line
from timestore_pipeline.staging.system_errors import system_error
from timestore_pipeline.system.durable import keep_private, sync

_MOST_PARTS = 1000  # of one `writev`; the system takes 1024


class Journal:
    """One file, made by this process and written by one thread of it."""

    def __init__(self, path: Path, shard: str) -> None:
        """Raises `DiskFull`, `AccessDenied` or another `RetryLater`; then there is no file."""
        self.journal_id = path.stem
        self.path = path
        self.bytes = 0
        with _translated(path):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                keep_private(path)
                self._write([first_line(path.stem, shard)])
                sync(path.parent)
            except BaseException:
                self.close()
                path.unlink(missing_ok=True)
                raise

    def append(self, records: Sequence[Encoded]) -> list[int]:
        """Write the records; durable on return, which gives the offset of each.

        Raises `DiskFull`, `DiskFailing` or another `RetryLater`; then none of them counts.
        """
        offsets = list(accumulate((record.bytes for record in records), initial=self.bytes))[:-1]
        with _translated(self.path):
            self._write([part for record in records for part in record.parts])
        return offsets

    def close(self) -> None:
        """Let go of the file; closing it twice is fine."""
        if self._descriptor >= 0:
            with suppress(OSError):  # all that counts was flushed
                os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, parts: Sequence[bytes | pa.Buffer]) -> None:
        waiting = [memoryview(part) for part in parts]
        while waiting:
            written = os.writev(self._descriptor, waiting[:_MOST_PARTS])
            self.bytes += written
            waiting = _after(waiting, written)
        os.fdatasync(self._descriptor)


def _after(parts: list[memoryview], written: int) -> list[memoryview]:
    """What is left of them behind the first bytes."""
    for number, part in enumerate(parts):
        if written < part.nbytes:
            return [part[written:], *parts[number + 1 :]]
        written -= part.nbytes
    return []


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "try again; the kernel's log says what the disk had"
        unusable = RetryLater(f"the journal {path} cannot be written: {error}", hint=hint)
        raise system_error(error, str(path)) or unusable from error

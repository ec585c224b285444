"""The journal of this process: appended to, flushed to disk, never changed where anything was written.

A group commit is one write of all its records and one flush. What the ledger names was flushed before, so any process
may read it at any time. A torn end was never promised. After an error the file's last bytes are unknown:
the journal is given up, and the next group begins another one. `JournalReader` reads the journals of any process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Self

import pyarrow as pa

from timestore_pipeline.errors import AccessDenied, RetryLater, TimestoreError, UnreadableSegment
from timestore_pipeline.staging.journal_records import Encoded, Record, first_line, read_record
from timestore_pipeline.staging.ledger.journals import RecordPlace
from timestore_pipeline.staging.system_errors import disk_failing, system_error
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
        """Close the file; closing it twice is fine."""
        if self._descriptor >= 0:
            with suppress(OSError):  # all acknowledged rows were flushed
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
    """The parts without their first bytes."""
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
        hint = "try again; the kernel's log has the disk's error"
        unusable = RetryLater(f"the journal {path} cannot be written: {error}", hint=hint)
        raise system_error(error, str(path)) or unusable from error


class JournalReader:
    """Keeps the journal open that was read last: places come journal by journal."""

    def __init__(self, path_of: Callable[[str], Path], link_of: Callable[[str], Path] | None = None) -> None:
        """path_of: the file of the journal with this id. link_of: a link to it, which is opened in its place."""
        self.path_of = path_of
        self._opened = link_of or path_of
        self._journal_id = ""
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def read(self, place: RecordPlace, dataset: str) -> tuple[Record, dict[str, pa.Table]]:
        """The record, and the rows of each of its batches by id.

        Raises `UnreadableSegment` when it is damaged or does not hold the batches as they were acknowledged, and
        `OSError`.
        """
        path = self.path_of(place.journal_id)
        if place.journal_id != self._journal_id:
            self._close()
            self._descriptor = os.open(self._opened(place.journal_id), os.O_RDONLY | os.O_CLOEXEC)
            self._journal_id = place.journal_id
        record = read_record(self._descriptor, path, place.offset)
        rows = {batch.batch_id: (batch.rows, table) for batch, table in record.slices()}
        for batch in place.batches:
            promised, found = rows.get(batch.batch_id, (0, None))
            if record.dataset != dataset or found is None or not promised == found.num_rows == batch.rows:
                raise UnreadableSegment(
                    f"the record at byte {place.offset} of journal {path} does not hold batch {batch.batch_id}"
                    f" as it was acknowledged, with {batch.rows} rows",
                    dataset=dataset,
                    hint="the journal is kept; put a copy from a backup in its place",
                )
        return record, {name: table for name, (_, table) in rows.items()}

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._journal_id = -1, ""


def reading_failed(error: OSError, path: Path, dataset: str) -> TimestoreError:
    """The typed error for a journal that could not be read: missing, refused by the system, or a failing disk."""
    if isinstance(error, FileNotFoundError):
        hint = "put a copy from a backup in its place"
        return UnreadableSegment(f"journal {path} is missing", dataset=dataset, hint=hint)
    return system_error(error, str(path), dataset) or disk_failing(error, str(path), dataset)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A journal that cannot be read now, and why; its batches stay pending."""

    journal_id: str
    reason: str
    refused: AccessDenied | None = None  # None = time may cure it

    @classmethod
    def of(cls, journal_id: str, problem: TimestoreError) -> Self:
        return cls(journal_id, str(problem), problem if isinstance(problem, AccessDenied) else None)


def unreadable(path_of: Callable[[str], Path], journal_ids: Iterable[str], dataset: str) -> list[LeftOut]:
    """The journals that cannot be opened, the missing ones left out: those are lost rather than unreadable."""
    found = []
    for journal_id in journal_ids:
        path = path_of(journal_id)
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            continue
        except OSError as error:
            found.append(LeftOut.of(journal_id, reading_failed(error, path, dataset)))
    return found

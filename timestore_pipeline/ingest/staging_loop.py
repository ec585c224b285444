"""Feeding files to the staging manager: several batches in flight, in file order, each with a key of its own.

All files of one call are opened before anything is staged, and each is read by what is known of the dataset then.
Whatever ends the loop early, every batch that was handed over is waited for, so that the tally says exactly what is
durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from timestore_pipeline.errors import Interrupted, TimestoreError
from timestore_pipeline.ingest.formats.reading import Reading
from timestore_pipeline.ingest.formats.sources import Source, open_source
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.values.notes import Note
from timestore_pipeline.model.batch import Receipt

_IN_FLIGHT = 16  # batches; enough to fill a group commit
_IN_FLIGHT_BYTES = 4 << 20  # of Arrow data; rows can be wide, and a group commit takes some times its size of memory
_MAX_WAIT = timedelta(minutes=5)  # for room in the queue; the disk is that slow only when something is wrong


@dataclass
class StagedTally:
    """The durable batches. A duplicate was durable before, under the same key."""

    batches: int = 0
    rows: int = 0
    bytes: int = 0
    duplicates: int = 0
    duplicate_rows: int = 0

    def add(self, receipt: Receipt) -> None:
        if receipt.duplicate:
            self.duplicates += 1
            self.duplicate_rows += receipt.rows
            return
        self.batches += 1
        self.rows += receipt.rows
        self.bytes += receipt.bytes


@dataclass
class StagingLoop:
    """One run over some files; `progress` is called with the rows of each durable batch."""

    staging: StagingManager
    dataset: str
    batch_rows: int
    prefix: str | None  # of the idempotency keys; None = no keys
    progress: Callable[[int], None]
    content: str | None = None  # replaces the file's name in its keys; None = its name
    tally: StagedTally = field(default_factory=StagedTally)
    _waiting: deque[tuple[Future[Receipt], int]] = field(default_factory=deque)  # and the bytes of each
    _stopped: bool = False

    def stop(self) -> None:
        """Hand over no more batches; `run` then raises `Interrupted`. Safe in a signal handler."""
        self._stopped = True

    def run(self, sources: Iterable[Source]) -> None:
        """Stage every file that has rows; raises the first error after all that was handed over is settled."""
        try:
            for source in sources:
                for first_row, rows in source.batches(self.batch_rows):
                    if rows.num_rows:
                        self._hand_over(source, first_row, rows)
                while self._waiting:  # before the next is looked for: it may be read as this one leaves the dataset
                    self._settle_oldest()
        finally:
            self._settle_rest()

    def _hand_over(self, source: Source, first_row: int, rows: pa.Table) -> None:
        if self._stopped:
            raise Interrupted("stopped half-way", dataset=self.dataset)
        while self._waiting and (len(self._waiting) >= _IN_FLIGHT or self._held() + rows.nbytes > _IN_FLIGHT_BYTES):
            self._settle_oldest()
        with source.explaining(first_row):
            key = None if self.prefix is None else f"{self.prefix}/{self.content or source.path.name}/{first_row}"
            future = self.staging.submit(self.dataset, rows, idempotency_key=key, max_wait=_MAX_WAIT)
        self._waiting.append((future, rows.nbytes))

    def _held(self) -> int:
        return sum(size for _, size in self._waiting)

    def _settle_oldest(self) -> None:
        receipt = self._waiting.popleft()[0].result()
        self.tally.add(receipt)
        self.progress(receipt.rows)

    def _settle_rest(self) -> None:
        """After the first error the others only matter for the tally."""
        while self._waiting:
            try:
                self._settle_oldest()
            except TimestoreError:
                continue


@dataclass
class Inputs:
    """dialect: of the CSV in this call, see `Reading.with_csv`."""

    staging: StagingManager
    dataset: str
    dialect: Mapping[str, Any]
    reading: Reading
    sources: list[Source]

    @classmethod
    def opened(cls, staging: StagingManager, dataset: str, files: Sequence[Path], dialect: Mapping[str, Any]) -> Inputs:
        """Raises what `open_source` raises, and `InvalidMetadata` for a dialect that cannot be."""
        reading = staging.reading(dataset).with_csv(dialect)
        keep = len(files) == 1
        return cls(staging, dataset, dialect, reading, [open_source(path, reading, keep=keep) for path in files])

    def as_known_now(self) -> Iterator[Source]:
        """Each file when its turn comes; one before it may have settled columns that it has, too."""
        for place, source in enumerate(self.sources):
            now = self.staging.reading(self.dataset).with_csv(self.dialect)
            if now != self.reading:
                self.sources[place] = open_source(source.path, now, keep=len(self.sources) == 1)
            yield self.sources[place]

    @property
    def notes(self) -> list[Note]:
        """On all of them, each once."""
        return list(dict.fromkeys(note for source in self.sources for note in source.notes))


class FileByFile:
    """The base of work on one file after the other, each in a loop of its own."""

    _loop: StagingLoop | None = None  # of the current file
    _stopped = False

    def stop(self) -> None:
        """Stop soon, between two batches or two files; safe in a signal handler."""
        self._stopped = True
        if self._loop is not None:
            self._loop.stop()

"""Reading what the ledger names in journals: any process may, at any time, since named bytes never change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from timestore_pipeline.errors import AccessDenied, TimestoreError, UnreadableSegment
from timestore_pipeline.staging.journal_records import Record, read_record
from timestore_pipeline.staging.ledger.journals import RecordPlace
from timestore_pipeline.staging.system_errors import disk_failing, system_error


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

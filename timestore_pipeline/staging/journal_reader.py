"""Reading what the ledger names in journals: any process may, at any time, since named bytes never change."""

from __future__ import annotations

import os
from typing import Self

import pyarrow as pa

from timestore_pipeline.errors import UnreadableSegment
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.journal_records import Record, read_record
from timestore_pipeline.staging.ledger.journals import RecordPlace


class JournalReader:
    """Keeps the journal open that was read last: places come journal by journal."""

    def __init__(self, directory: StagingDirectory) -> None:
        self._directory = directory
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
        path = self._directory.journal(place.journal_id)
        if place.journal_id != self._journal_id:
            self._close()
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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

"""Journals with rows in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from tests.staging.rows import SCHEMA, table
from timestore_pipeline.model.batch import StagedBatch, batch_id, new_id
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.journal_records import Record, RecordLayout, encode, read_record, scan
from timestore_pipeline.staging.ledger.batches import Promise
from timestore_pipeline.system import clock

LAYOUT = RecordLayout(SCHEMA, None, None)


def record(
    *sizes: int, dataset: str = "d", layout: RecordLayout = LAYOUT, stream: str = "b", rows: pa.Table | None = None
) -> Record:
    """Of batches with these numbers of rows. rows: of all of them, in place of numbered ones."""
    batches = [
        StagedBatch(batch_id(stream, number), number, size, 8 * size, clock.now(), f"{stream}-{number}")
        for number, size in enumerate(sizes)
    ]
    rows = pa.concat_tables([table(size, layout.schema) for size in sizes]) if rows is None else rows
    return Record(dataset, layout, batches, rows)


def write(path: Path, *records: Record) -> list[int]:
    """A journal that holds these; their offsets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(path, "shard-0")
    offsets = [journal.append([encode(one)])[0] for one in records]
    journal.close()
    return offsets


def staged(area: StagingArea, *records: Record, closed: bool = True) -> Path:
    """A journal of this process whose batches the ledger has promised."""
    journal_id = new_id()
    area.ledger.journals.register(journal_id, area.identity.process_id)
    path = area.directory.journal(journal_id)
    offsets = write(path, *records)
    promise(area, journal_id, records, offsets)
    if closed:
        area.ledger.journals.close(journal_id)
    return path


def promise(area: StagingArea, journal_id: str, records: Sequence[Record], offsets: Sequence[int]) -> None:
    ids = [area.ledger.datasets.ensure(one.dataset).dataset_id for one in records]
    promises = [Promise(i, offset, one.batches) for i, offset, one in zip(ids, offsets, records, strict=True)]
    area.ledger.batches.promise(journal_id, promises)


def records_in(path: Path) -> list[Record]:
    """Every intact record of a journal with its rows."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return [read_record(descriptor, path, found.offset) for found in scan(path).records]
    finally:
        os.close(descriptor)


def flip(path: Path, offset: int) -> None:
    """Damage one byte."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)

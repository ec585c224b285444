"""Flushes of what lies in journals: it is read where it lies, whatever its columns, and whatever cannot be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.flush.conftest import hourly, published
from tests.flush.damaging import drain, flush, numbers, stage, stage_in_journal
from tests.staging.journals import record, staged
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import DiskFailing
from timestore_pipeline.flush.attach import RowsUnfit, attach_records
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.journal import JournalReader
from timestore_pipeline.staging.journal_records import RecordLayout
from timestore_pipeline.wiring import Timestore

MAPS = RecordLayout(pa.schema([pa.field("m", pa.map_(pa.string(), pa.int64()))]), None, None)


@contextmanager
def failing_reads(path: Path) -> Iterator[None]:
    """The file can be opened, and not a byte of it be read."""
    really_open, really_read, descriptors = os.open, os.pread, set[int]()

    def opens(name: Any, *arguments: Any, **options: Any) -> int:
        descriptor = really_open(name, *arguments, **options)
        if name == path:
            descriptors.add(descriptor)
        else:
            descriptors.discard(descriptor)
        return descriptor

    def reads(descriptor: int, *arguments: int) -> bytes:
        if descriptor in descriptors:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return really_read(descriptor, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", opens)
        patch.setattr(os, "pread", reads)
        yield


def test_a_flush_makes_no_file_but_what_it_publishes(settings: Settings, timestore: Timestore) -> None:
    stage_in_journal(settings, 3)
    assert flush(timestore) is not None
    assert published(timestore) == numbers(range(3))
    assert not timestore.area.directory.segment_folder("d").exists()
    assert timestore.area.directory.journal_files() == []


def test_segments_and_journals_are_claimed_together_in_the_order_of_acknowledgement(
    settings: Settings, timestore: Timestore
) -> None:
    ids = [*stage(settings, 2), *stage_in_journal(settings, 2, first=2), *stage(settings, 1, first=4)]
    ref = timestore.pipeline.claim("d", Trigger.MANUAL, "run").ref
    assert ref is not None
    assert list(timestore.area.ledger.batches.of_flush(ref).values()) == ids
    timestore.pipeline.export(ref, timestore.export_options())
    timestore.pipeline.finalize(ref, timestore.pipeline.publish(ref))
    assert published(timestore) == numbers(range(5))


def test_one_journal_may_hold_batches_of_other_columns_and_other_types(
    staging: StagingManager, timestore: Timestore
) -> None:
    staging.enqueue("d", hourly(2))
    staging.enqueue("d", hourly(2, 2).append_column("late", pa.array(["x", "y"])))
    timestore.set_metadata("d", {"schema": {"columns": {"n": "double"}}})
    staging.enqueue("d", hourly(2, 4).set_column(1, "n", pa.array([4.5, 5.5])))
    assert flush(timestore) is not None
    table = timestore.lake.table("d").to_arrow_dataset().to_table().sort_by("n")
    assert table["n"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.5, 5.5]
    assert table["late"].to_pylist() == [None, None, "x", "y", None, None]


def test_rows_that_duckdb_refuses_are_named_by_their_batches(timestore: Timestore) -> None:
    values = [[("a", 1)], [("a", 1), ("a", 2)], [("b", 1)], [("c", 1), ("c", 1)]]
    staged(timestore.area, record(1, 1, 1, 1, layout=MAPS, rows=pa.table({"m": values}, schema=MAPS.schema)))
    places = timestore.area.ledger.journals.waiting("d")
    with (
        open_engine() as connection,
        JournalReader(timestore.area.directory.journal) as journals,
        pytest.raises(RowsUnfit) as refused,
    ):
        attach_records(connection, journals, "d", places)
    assert [sequence for _, sequence in refused.value.culprits] == [1, 3]
    assert all("duplicate key" in error for error in refused.value.culprits.values())


def test_what_lies_in_journals_may_be_larger_than_the_memory(timestore: Timestore, tmp_path: Path) -> None:
    """80 MB are copied with 32, and spill."""
    schema, rows = RecordLayout(pa.schema([("text", pa.string())]), None, None), 80_000
    text = pa.table({"text": [os.urandom(500).hex() for _ in range(rows)]})
    staged(timestore.area, record(*[10_000] * 8, layout=schema, rows=text))
    with open_engine(32, tmp_path) as connection, JournalReader(timestore.area.directory.journal) as journals:
        [source] = attach_records(connection, journals, "d", timestore.area.ledger.journals.waiting("d"))
        found = connection.execute(f'SELECT count(*), sum(length("text")) FROM "{source.name}".rows').fetchall()
        assert found == [(rows, rows * 1_000)]
        assert list(tmp_path.iterdir())


def test_a_journal_whose_disk_fails_stays_pending_and_the_others_are_published(
    settings: Settings, timestore: Timestore
) -> None:
    kept = stage_in_journal(settings, 2)
    [path] = timestore.area.directory.journal_files()
    stage_in_journal(settings, 2, first=2)
    with failing_reads(path):
        assert flush(timestore) is not None
    assert published(timestore) == numbers([2, 3])
    assert timestore.area.backlog("d").pending.batches == len(kept)
    assert timestore.area.ledger.open_incidents() == 0
    drain(timestore)
    assert published(timestore) == numbers(range(4))


def test_a_claim_of_which_nothing_can_be_read_fails_with_the_systems_error(
    settings: Settings, timestore: Timestore
) -> None:
    stage_in_journal(settings, 2)
    [path] = timestore.area.directory.journal_files()
    with failing_reads(path), pytest.raises(DiskFailing, match=str(path)):
        timestore.flush("d", Trigger.MANUAL, "run")
    backlog = timestore.area.backlog("d")
    assert (backlog.pending.batches, backlog.failures, backlog.quarantined.batches) == (2, 1, 0)
    drain(timestore)
    assert published(timestore) == numbers(range(2))

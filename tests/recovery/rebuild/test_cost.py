"""A rebuild costs little beyond reading: few transactions for small records, one DuckDB instance for all segments."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
import pytest

from tests.staging.journals import LAYOUT, record, write
from tests.staging.rows import write as write_segment
from timestore_pipeline import Settings
from timestore_pipeline.recovery import staged_files
from timestore_pipeline.staging import engine
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.journal_records import RecordLayout
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.wiring import Timestore, rebuild_if_lost

EARLY = RecordLayout(pa.schema([LAYOUT.schema.field(0)]), None, None)


def transactions(home: Path, records: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of a rebuild from one journal: records of two datasets in turns, the later half with one column more."""
    settings = Settings.build(home=home)
    layouts = [EARLY] * (records // 2) + [LAYOUT] * (records // 2)
    written = [record(2, dataset="de"[n % 2], stream=f"s{n}", layout=one) for n, one in enumerate(layouts)]
    write(StagingDirectory(settings.staging_directory).journal("00ab"), *written)
    taken: list[Database] = []
    real = Database.transaction

    def counted(database: Database) -> AbstractContextManager[sqlite3.Connection]:
        taken.append(database)
        return real(database)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "transaction", counted)
        assert rebuild_if_lost(settings) is not None
    with Timestore(settings) as store:
        assert [backlog.pending.batches for backlog in store.area.waiting()] == [records // 2] * 2
        assert {one.schema for one in store.area.ledger.datasets.all()} == {LAYOUT.schema}
    return len(taken)


def test_small_records_are_entered_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert transactions(tmp_path / "few", 4, monkeypatch) == transactions(tmp_path / "many", 200, monkeypatch)


def test_producers_wait_for_a_bounded_number_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbounded = transactions(tmp_path / "unbounded", 80, monkeypatch)
    monkeypatch.setattr(staged_files, "_MOST_RECORDS", 10)
    parts = 4 * 2 - 4  # of two datasets and two layouts each, with 20 records
    assert transactions(tmp_path / "bounded", 80, monkeypatch) >= unbounded + parts


def test_all_segments_are_read_by_one_instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = StagingDirectory(settings.staging_directory)
    for number in range(4):
        write_segment(directory.segment(f"d{number}", f"00a{number}"), 5, 3)
    opened: list[object] = []
    real = engine.open_engine

    def counted() -> object:
        opened.append(real())
        return opened[-1]

    monkeypatch.setattr(engine, "open_engine", counted)
    rebuilt = rebuild_if_lost(settings)
    assert rebuilt is not None
    assert (rebuilt.reconciliation.pending, len(opened)) == (8, 1)

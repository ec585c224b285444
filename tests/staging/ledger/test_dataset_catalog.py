"""Showing the datasets never waits for long, never writes, and leaves out only what is damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from timestore_pipeline.errors import Corrupted, TimestoreError
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.staging.ledger import Ledger, inspection
from timestore_pipeline.staging.ledger.dataset_catalog import read_catalog


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    opened = Ledger(tmp_path / "ledger.sqlite", "shard-0")
    opened.datasets.set_metadata("weather", DatasetMetadata(description="Hourly weather."))
    opened.datasets.ensure("flights")
    opened.close()
    return tmp_path / "ledger.sqlite"


def names(ledger: Path) -> list[str]:
    return [entry.record.name for entry in read_catalog(ledger)]


def test_datasets_come_in_name_order_with_their_metadata(ledger: Path) -> None:
    flights, weather = read_catalog(ledger)
    assert (flights.record.name, weather.record.metadata.description) == ("flights", "Hourly weather.")
    assert (weather.first_partition, weather.last_partition) == (None, None)


def test_a_removed_dataset_is_out_of_sight(ledger: Path) -> None:
    opened = Ledger(ledger, "shard-0")
    opened.datasets.remove("flights")
    opened.close()
    assert names(ledger) == ["weather"]


def test_no_ledger_means_no_datasets_and_none_is_made(tmp_path: Path) -> None:
    assert read_catalog(tmp_path / "ledger.sqlite") == []
    assert list(tmp_path.iterdir()) == []


def test_looking_leaves_no_file_behind(ledger: Path) -> None:
    before = sorted(ledger.parent.iterdir())
    assert names(ledger) == ["flights", "weather"]
    assert sorted(ledger.parent.iterdir()) == before


def test_a_writer_in_the_middle_of_its_transaction_keeps_nobody_waiting(ledger: Path) -> None:
    writer = sqlite3.connect(ledger, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE datasets SET paused = 1")
    assert names(ledger) == ["flights", "weather"]
    writer.close()


def test_an_exclusively_locked_ledger_is_an_error_after_a_short_wait(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "_WAIT", 0.01)
    writer = sqlite3.connect(ledger, isolation_level=None)
    writer.execute("PRAGMA locking_mode = EXCLUSIVE")
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("UPDATE datasets SET paused = 1")
    with pytest.raises(TimestoreError):
        read_catalog(ledger)
    writer.close()


def test_one_damaged_dataset_does_not_hide_the_others(ledger: Path, caplog: pytest.LogCaptureFixture) -> None:
    with sqlite3.connect(ledger) as writer:
        writer.execute("UPDATE datasets SET schema = 'no schema' WHERE name = 'flights'")
    writer.close()
    assert names(ledger) == ["weather"]
    assert "dataset flights is left out" in caplog.text


def test_what_is_no_ledger_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("this is no database, whatever its name says\n" * 50)
    with pytest.raises(Corrupted, match=r"ledger\.sqlite"):
        read_catalog(path)


def test_an_empty_file_is_an_error_and_stays_empty(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.touch()
    with pytest.raises(TimestoreError, match="no such table"):
        read_catalog(path)
    assert path.stat().st_size == 0

"""Deciding on what was set aside, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import complaint, journal_of, segment_of, staged, timestore, timestore_json


@pytest.fixture
def sound(home: Path) -> bytes:
    """What the segment held before it was damaged and set aside as incident 1."""
    staged(home)
    segment = segment_of(home, "weather")
    content = segment.read_bytes()
    segment.write_bytes(b"rot" * 9_000)
    assert "published nothing" in complaint("flush", "weather", "--now")
    return content


def aside(home: Path) -> Path:
    [path] = (home / "staging" / "quarantine" / "weather").glob("*.duckdb")
    return path


def test_nothing_is_quarantined_to_begin_with(home: Path) -> None:
    assert timestore("quarantine", "list") == "nothing is quarantined\n"
    assert timestore_json("quarantine", "list") == {"incidents": []}


def test_an_incident_is_listed_and_shown(home: Path, sound: bytes) -> None:
    [incident] = timestore_json("quarantine", "list", "weather")["incidents"]
    assert (incident["incident_id"], incident["reason"], incident["batches"], incident["rows"]) == (1, "damaged", 4, 40)
    shown = timestore_json("quarantine", "show", "1")
    assert shown["file"] == str(aside(home))
    assert [batch["idempotency_key"] for batch in shown["batch_list"]] == [
        f"test/weather.parquet/{first}" for first in (0, 10, 20, 30)
    ]
    assert "weather" in timestore("quarantine", "list")
    assert str(aside(home)) in timestore("quarantine", "show", "1")


def test_where_an_operator_looks_quarantined_batches_are_mentioned(home: Path, sound: bytes) -> None:
    assert "weather: 4 batches set aside" in complaint("status", code=0)
    assert "incident 1: 4 batches of 40 rows set aside" in timestore("explain", "weather")
    assert timestore_json("explain", "weather")["incidents"][0]["incident_id"] == 1


def test_a_file_that_is_still_damaged_is_not_taken_back(home: Path, sound: bytes) -> None:
    message = complaint("quarantine", "requeue", "1")
    assert "incident 1 stays open" in message
    assert "repair that file or put a copy from a backup in its place" in message
    assert timestore_json("quarantine", "requeue", "1", code=1)["error"]["code"] == "unreadable_segment"


def test_a_repaired_file_is_taken_back_and_published(home: Path, sound: bytes) -> None:
    aside(home).write_bytes(sound)
    assert timestore("quarantine", "requeue", "1") == "weather: incident 1: 4 batches of 40 rows requeued\n"
    assert timestore("quarantine", "requeue", "1").endswith("requeued already\n")
    timestore("flush", "weather", "--now")
    assert timestore_json("verify")["datasets"][0]["published_rows"] == 40


def test_discarding_frees_the_disk_and_stays_in_the_books(home: Path, sound: bytes) -> None:
    path = aside(home)
    assert timestore("quarantine", "discard", "1", "--yes") == "weather: incident 1: 4 batches of 40 rows discarded\n"
    assert not path.exists()
    assert timestore_json("verify")["datasets"][0]["discarded_rows"] == 40
    assert timestore_json("quarantine", "list") == {"incidents": []}
    assert timestore_json("quarantine", "list", "--all")["incidents"][0]["resolution"] == "discarded"
    assert "discarded already" in complaint("quarantine", "requeue", "1")


def test_a_script_has_to_say_that_it_means_to_discard(home: Path, sound: bytes) -> None:
    assert "give --yes" in complaint("quarantine", "discard", "1", code=2)
    assert aside(home).exists()


def test_an_unknown_number_is_refused_and_does_not_keep_the_others_waiting(home: Path, sound: bytes) -> None:
    assert timestore_json("quarantine", "show", "7", code=1)["error"]["code"] == "unknown_incident"
    document = timestore_json("quarantine", "discard", "7", "1", "--yes", code=1)
    assert [result["incident_id"] for result in document["discarded"]] == [1]
    assert [error["code"] for error in document["errors"]] == ["unknown_incident"]


def test_what_a_journal_has_lost_is_shown_with_its_file_and_taken_back_once_that_is_repaired(home: Path) -> None:
    staged(home)
    path = journal_of(home)
    sound = path.read_bytes()
    path.write_bytes(sound[:-50])
    assert timestore_json("flush", "weather", "--now")["flushes"][0]["rows"] == 30
    assert timestore_json("quarantine", "show", "1")["file"] == str(path)
    shown = timestore("quarantine", "show", "1")
    assert "record, damaged" in shown
    assert f"journal   {path.stem}" in shown
    assert timestore_json("quarantine", "requeue", "1", code=1)["error"]["code"] == "unreadable_segment"
    path.write_bytes(sound)
    assert timestore("quarantine", "requeue", "1") == "weather: incident 1: 1 batch of 10 rows requeued\n"
    timestore("flush", "weather", "--now")
    assert timestore_json("verify")["datasets"][0]["published_rows"] == 40
    assert not path.exists()

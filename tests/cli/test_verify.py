"""The verdict in words, as JSON and as an exit code."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import duckdb
import pytest

from tests.cli.running import complaint, producer, segment_of, staged, timestore, timestore_json


@pytest.fixture
def books(home: Path) -> Path:
    """40 rows published, 20 staged."""
    staged(home, rows=40)
    timestore("flush", "weather", "--now")
    staged(home, rows=60)
    return home


def alter_total(home: Path) -> None:
    connection = sqlite3.connect(home / "staging" / "ledger.sqlite")
    with connection:
        connection.execute("UPDATE volumes SET rows = rows + 1 WHERE state = 'published'")
    connection.close()


def test_json_has_exactly_the_promised_keys_first(books: Path) -> None:
    document = timestore_json("verify")
    assert list(document) == ["ok", "shard", "datasets"]
    [weather] = document["datasets"]
    assert list(weather)[:10] == [
        "dataset", "accepted_batches", "accepted_rows", "pending_rows", "in_flight_rows", "published_rows",
        "quarantined_rows", "discarded_rows", "ok", "problems",
    ]  # fmt: skip
    assert (weather["accepted_rows"], weather["published_rows"], weather["pending_rows"]) == (60, 40, 20)


def test_books_in_order_are_said_to_be(books: Path) -> None:
    assert timestore("verify").endswith("every row is accounted for\n")
    assert complaint("verify", code=0) == ""


def test_an_altered_total_is_a_no_until_it_is_repaired(books: Path) -> None:
    alter_total(books)
    assert "--repair" in timestore("verify", code=1)
    assert timestore_json("verify", code=1)["datasets"][0]["problems"][0]["code"] == "totals_differ"
    assert "repaired" in timestore("verify", "--repair")
    timestore("verify")


def test_a_row_missing_from_a_segment_is_a_no(books: Path) -> None:
    segment = segment_of(books, "weather")
    with duckdb.connect(segment) as connection:
        connection.execute("DELETE FROM rows WHERE value = 50")
    output = timestore("verify", code=1)
    assert ".duckdb holds 9 [rows_missing]" in output
    assert output.endswith("the books do not add up\n")


def test_a_deleted_parquet_file_is_a_no(books: Path) -> None:
    next((books / "lake" / "weather").rglob("*.parquet")).unlink()
    assert "[file_missing]" in timestore("verify", code=1)


def test_only_what_is_named_is_verified(books: Path) -> None:
    staged(books, dataset="planes")
    alter_total(books)
    assert [one["dataset"] for one in timestore_json("verify", "planes")["datasets"]] == ["planes"]
    complaint("verify", "nowhere")


def test_what_a_living_producer_has_staged_is_counted_too(books: Path) -> None:
    before = timestore_json("verify")["datasets"][0]["pending_rows"]
    with producer(rows=5):
        dataset = timestore_json("verify")["datasets"][0]
        assert (dataset["ok"], dataset["pending_rows"]) == (True, before + 5)


def test_a_warning_is_no_no(books: Path) -> None:
    known = next((books / "lake" / "weather").rglob("*.parquet"))
    known.with_name("stray.parquet").write_bytes(known.read_bytes())
    assert "[unmanaged_file]" in complaint("verify", code=0)
    assert timestore_json("verify")["datasets"][0]["warnings"][0]["code"] == "unmanaged_file"


def test_a_lake_that_does_not_answer_is_an_error_and_not_a_verdict(
    books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:1", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("TIMESTORE_LAKE_URI", "s3://bucket/prefix")
    assert timestore_json("verify", code=1)["error"]["code"] == "retry_later"

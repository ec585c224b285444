"""Files become batches with keys, and a run that stops half-way reports what is durable."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import ROOT, command, complaint, readings, staged, timestore, timestore_json, write_file
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def pending_rows() -> int:
    with Timestore(Settings.from_env()) as store:
        return sum(status.backlog.pending.rows for status in store.statuses())


def test_a_file_is_cut_into_batches(home: Path) -> None:
    path = write_file(home / "rows.parquet", readings(25))
    summary = timestore_json("ingest", "weather", path, "--batch-rows", "10")
    assert (summary["batches"], summary["rows"], summary["duplicates"]) == (3, 25, 0)
    assert summary["bytes"] > 0
    assert summary["rows_per_second"] > 0


def test_the_summary_is_one_line(home: Path) -> None:
    path = write_file(home / "rows.parquet", readings(25))
    output = timestore("ingest", "weather", path, "--batch-rows", "10")
    assert output.startswith("weather: 3 batches, 25 rows, ")
    assert output.count("\n") == 1


def test_a_batch_is_keyed_by_prefix_file_name_and_first_row(home: Path) -> None:
    staged(home, rows=25)
    with Timestore(Settings.from_env()) as store:
        record = store.area.ledger.datasets.get("weather")
        keys = [f"test/weather.parquet/{first}" for first in (0, 10, 20)]
        assert store.area.ledger.batches.known_keys(record.dataset_id, keys).keys() == set(keys)


def test_the_same_prefix_again_skips_what_is_staged(home: Path) -> None:
    [path] = staged(home, rows=25)
    again = ("ingest", "weather", path, "--batch-rows", "10", "--idempotency-prefix", "test")
    assert "3 duplicate batches of 25 rows skipped" in timestore(*again)
    assert timestore_json(*again)["duplicate_rows"] == 25
    assert pending_rows() == 25


def test_without_a_prefix_a_second_run_stages_again(home: Path) -> None:
    path = write_file(home / "rows.parquet", readings(5))
    timestore("ingest", "weather", path)
    timestore("ingest", "weather", path)
    assert pending_rows() == 10


def test_two_files_of_one_name_are_refused_with_a_prefix(home: Path) -> None:
    (home / "other").mkdir()
    files = [write_file(folder / "rows.parquet", readings(5)) for folder in (home, home / "other")]
    assert "rows.parquet is given twice" in complaint("ingest", "weather", *files, "--idempotency-prefix", "p", code=2)
    timestore("ingest", "weather", *files)
    assert pending_rows() == 10


def test_an_unreadable_file_is_found_before_anything_is_staged(home: Path) -> None:
    good = write_file(home / "good.parquet", readings(5))
    bad = home / "bad.parquet"
    bad.write_text("not a table")
    assert "[unreadable_input]" in complaint("ingest", "weather", good, bad)
    assert timestore_json("status")["datasets"] == []


def test_a_failure_half_way_says_what_is_durable(home: Path) -> None:
    good = write_file(home / "good.parquet", readings(20))
    clash = write_file(home / "clash.parquet", readings(5).rename_columns(["at", "name", "value"]))
    message = complaint("ingest", "weather", good, clash, "--batch-rows", "10")
    assert "[schema_conflict]" in message
    assert "durable: 2 batches, 20 rows" in message
    assert "a second run stages the durable rows again" in message
    assert pending_rows() == 20


def test_a_failure_half_way_as_json_carries_both_sides(home: Path) -> None:
    good = write_file(home / "good.parquet", readings(20))
    clash = write_file(home / "clash.parquet", readings(5).rename_columns(["at", "name", "value"]))
    document = timestore_json("ingest", "weather", good, clash, "--batch-rows", "10", code=1)
    assert document["error"]["code"] == "schema_conflict"
    assert (document["staged"]["batches"], document["staged"]["rows"]) == (2, 20)


@pytest.mark.parametrize("rows", ["0", "-1", "many"])
def test_a_batch_needs_a_row(home: Path, rows: str) -> None:
    path = write_file(home / "rows.parquet", readings(5))
    complaint("ingest", "weather", path, "--batch-rows", rows, code=2)


def test_ctrl_c_says_what_is_durable_and_the_same_command_goes_on(home: Path) -> None:
    path = write_file(home / "rows.parquet", readings(60_000))
    line = ("ingest", "weather", path, "--batch-rows", "10", "--idempotency-prefix", "p", "--json")
    with subprocess.Popen(command(*line), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None and pending_rows() == 0:
            clock.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
    assert process.returncode == 1
    assert '"code": "interrupted"' in output
    assert f'"rows": {pending_rows()}' in output
    timestore(*line)
    assert pending_rows() == 60_000


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_first_batch_says_what_it_decided(home: Path) -> None:
    path = write_text(home / "rows.csv", "at,station,wind\n2013-01-01T05:00:00Z,007,1.5\n2013-01-01T05:00:00Z,8,2\n")
    first = timestore_json("ingest", "weather", path)
    columns = {"at": "timestamp", "station": "string", "wind": "double"}
    assert first["decided"] == {"time_column": "at", "granularity": "day", "columns": columns}
    assert first["warnings"] == ["column 'station' is text: line 2 has '007', and 1 cells hold a number"]
    again = timestore_json("ingest", "weather", path)
    assert (again["decided"], again["warnings"]) == (None, [])


def test_a_first_batch_without_a_time_gets_a_note_on_how_to_declare_one(home: Path) -> None:
    path = write_text(home / "rows.csv", "at,wind\n29.11.2026 10:00,1.5\n")
    first = timestore_json("ingest", "weather", path)
    assert first["decided"]["time_column"] is None
    assert "looks like a date or time but is not ISO 8601" in first["warnings"][0]
    assert "declare it before the first flush" in first["warnings"][1]


def test_a_file_is_read_as_the_files_before_it_left_the_dataset(home: Path) -> None:
    for name, cell in (("a.csv", "K12"), ("b.csv", "012"), ("c.csv", "7")):
        write_text(home / name, f"at,zone\n2013-01-01T05:00:00Z,{cell}\n")
    summary = timestore_json("ingest", "weather", *(home / name for name in ("a.csv", "b.csv", "c.csv")))
    assert summary["rows"] == 3


def test_a_cell_that_does_not_fit_its_column_is_named_by_line(home: Path) -> None:
    timestore("ingest", "weather", write_text(home / "a.csv", "at,wind\n2013-01-01T05:00:00Z,1.5\n"))
    bad = write_text(home / "b.csv", "at,wind\n2013-01-01T05:00:00Z,1\n2013-01-01T05:00:00Z,calm\n")
    assert "line 3 has 'calm', and the column is double in the dataset" in complaint("ingest", "weather", bad)


def test_what_a_csv_is_like_can_be_said_for_one_call(home: Path) -> None:
    path = home / "rows.csv"
    path.write_bytes("at;ort;wind\n2013-01-01T05:00:00Z;Köln;1,5\n2013-01-01T05:00:00Z;-;-\n".encode("latin-1"))
    said = ("--delimiter", ";", "--decimal", ",", "--encoding", "latin-1", "--null", "-", "--null", "")
    assert timestore_json("ingest", "weather", path, *said)["decided"]["columns"]["wind"] == "double"
    assert "cannot separate fields" in complaint("ingest", "weather", path, "--delimiter", "x")


def test_columns_of_a_csv_without_a_header_are_those_declared_in_their_order(home: Path) -> None:
    columns = '{"zone": "string", "at": "timestamp", "n": "int64"}'
    timestore("datasets", "set", "weather", f'{{"schema": {{"columns": {columns}}}}}')
    path = write_text(home / "rows.csv", "07,2013-01-01T05:00:00Z,7\n")
    timestore("ingest", "weather", path, "--no-header")
    with Timestore(Settings.from_env()) as store:
        schema = store.area.ledger.datasets.get("weather").schema
    assert schema is not None
    assert {field.name: str(field.type) for field in schema} == {
        "zone": "string",
        "at": "timestamp[us, tz=UTC]",
        "n": "int64",
    }

"""`timestore advise` knows what the ledger knows, and its command works as it is printed."""

from __future__ import annotations

from pathlib import Path

from tests.cli.running import complaint, readings, staged, timestore, timestore_json, write_file


def flushed(home: Path, times: int) -> None:
    for number in range(times):
        path = write_file(home / f"part-{number}.parquet", readings(40, first=40 * number))
        timestore("ingest", "weather", path, "--batch-rows", "10", "--idempotency-prefix", "test")
        timestore("flush", "weather", "--now")


def test_a_short_history_is_reported_and_fails(home: Path) -> None:
    staged(home)
    assert "0 published flushes and 4 batches of dataset 'weather' are too few" in complaint("advise", "weather")


def test_the_command_that_is_printed_applies_the_proposal(home: Path) -> None:
    flushed(home, 3)
    proposed = timestore_json("advise", "weather", "--target-file-mb", "0.01", "--freshness-s", "300")["proposed"]
    output = timestore("advise", "weather", "--target-file-mb", "0.01", "--freshness-s", "300")
    command = output.splitlines()[-1].split()
    assert command[0] == "timestore"
    timestore(*command[1:])
    flush = timestore_json("datasets", "show", "weather")["thresholds"]
    assert flush == {name: proposed[name] for name in flush}

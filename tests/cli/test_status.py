"""`status` is a contract; `explain` tells why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import complaint, in_a_process, staged, timestore, timestore_json
from timestore_pipeline import Settings
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def test_status_json_has_exactly_the_promised_keys(home: Path) -> None:
    staged(home)
    document = timestore_json("status")
    assert list(document) == ["shard", "datasets"]
    [weather] = document["datasets"]
    assert list(weather) == [
        "dataset", "pending", "in_flight", "quarantined", "oldest_age_seconds", "disk_bytes", "thresholds", "due",
        "reason", "paused",
    ]  # fmt: skip
    assert list(weather["pending"]) == list(weather["in_flight"]) == ["batches", "rows", "bytes"]
    assert list(weather["thresholds"]) == ["max_rows", "max_bytes", "max_age_ms"]


def test_status_tells_what_is_staged(home: Path) -> None:
    staged(home, rows=40, batch_rows=10)
    [weather] = timestore_json("status", "weather")["datasets"]
    assert (weather["pending"]["batches"], weather["pending"]["rows"]) == (4, 40)
    assert weather["disk_bytes"] > 0
    assert weather["oldest_age_seconds"] > 0
    assert (weather["due"], weather["paused"]) == (False, False)


def test_a_misspelt_variable_is_a_warning_on_standard_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_PENDNG", "8")
    done = in_a_process("status")
    assert (done.returncode, done.stdout) == (0, "no datasets yet\n")
    assert "level=warning" in done.stderr
    assert "did you mean TIMESTORE_STAGING_MAX_PENDING?" in done.stderr


@pytest.mark.parametrize("arguments", [("status",), ("status", "--json")])
def test_a_ceiling_that_the_disk_cannot_hold_is_named(
    home: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_TOTAL_BYTES", str(10**18))
    done = in_a_process(*arguments)
    assert done.returncode == 0
    assert f"TIMESTORE_STAGING_MAX_TOTAL_BYTES={10**18} does not fit the disk of" in done.stderr
    assert "producers refuse to start" in done.stderr


def test_status_of_nothing_is_no_error(home: Path) -> None:
    assert timestore("status") == "no datasets yet\n"


def test_status_in_a_pipe_keeps_each_dataset_on_one_line(home: Path) -> None:
    staged(home)
    assert timestore("status").count("\n") == 2


def test_status_of_an_unknown_dataset_names_the_known_ones(home: Path) -> None:
    staged(home)
    message = complaint("status", "nowhere")
    assert "error: there is no dataset 'nowhere' [unknown_dataset]" in message
    assert "hint: known datasets: weather" in message


def test_explain_names_the_limit_that_binds(home: Path) -> None:
    timestore("datasets", "set", "weather", "staging.flush.maxRows=50")
    staged(home, rows=40)
    document = timestore_json("explain", "weather")
    assert (document["due"], document["binding"]) == (False, "rows")
    assert document["limits"][0] == {"limit": "rows", "value": 40, "threshold": 50, "share": 0.8}
    assert "40 of 50 rows (80%)" in timestore("explain", "weather")


def test_explain_says_until_when_the_table_is_complete(home: Path) -> None:
    staged(home)
    oldest = timestore_json("explain", "weather")["complete_until"]
    timestore("flush", "weather", "--now")
    assert timestore_json("explain", "weather")["complete_until"] > oldest
    assert "what was acknowledged before is published" in timestore("explain", "weather")


def test_explain_shows_every_limit_that_is_on(home: Path) -> None:
    staged(home)
    output = timestore("explain", "weather")
    assert [part for part in ("rows (", "staged (", "age ", "the guardrail (") if part not in output] == []


def test_explain_says_when_age_will_make_it_due(home: Path) -> None:
    staged(home)
    assert timestore_json("explain", "weather")["due_at"] is not None
    timestore("datasets", "set", "weather", "staging.flush.maxAgeMs=0")
    assert timestore_json("explain", "weather")["due_at"] is None


@pytest.mark.parametrize(
    ("setting", "when"),
    [
        ("staging.flush.maxRows=1", "not by itself, no flush sensor has run"),
        ("staging.flush.maxAgeMs=0", "when a limit is reached; age is off"),
        ("staging.flush.maxAgeMs=3590000", "in 59 min"),
    ],
)
def test_explain_says_when_it_will_flush(home: Path, setting: str, when: str) -> None:
    timestore("datasets", "set", "weather", setting)
    staged(home)
    assert when in timestore_json("explain", "weather")["when"]


def test_explain_says_that_the_sensor_will_do_it_when_it_ticks(home: Path) -> None:
    timestore("datasets", "set", "weather", "staging.flush.maxRows=1")
    staged(home)
    with Timestore(Settings.from_env()) as store:
        store.area.ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(clock.now())))
    assert timestore_json("explain", "weather")["when"] == "at the sensor's next tick, within ten seconds"


def test_explain_says_when_nothing_is_left_or_it_is_paused(home: Path) -> None:
    staged(home)
    timestore("pause", "weather")
    assert timestore_json("explain", "weather")["when"] == "not by itself while it is paused"
    timestore("flush", "weather", "--now")
    assert timestore_json("explain", "weather")["when"] == "when something is staged"


def test_explain_counts_the_whole_directory_against_its_guardrail(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_TOTAL_BYTES", "600000000")
    staged(home)
    assert "total_disk_bytes" in [use["limit"] for use in timestore_json("explain", "weather")["limits"]]
    assert "on disk for all datasets" in timestore("explain", "weather")


def test_explain_says_that_a_dataset_is_due(home: Path) -> None:
    timestore("datasets", "set", "weather", "staging.flush.maxRows=40")
    staged(home, rows=40)
    assert "weather: due: 40 rows reach the threshold of 40" in timestore("explain", "weather")


def test_explain_says_that_a_dataset_is_paused(home: Path) -> None:
    staged(home)
    timestore("pause", "weather")
    assert "paused" in timestore("explain", "weather")


def test_explain_tells_of_the_last_flush(home: Path) -> None:
    staged(home, rows=40)
    timestore("flush", "weather", "--now")
    assert timestore_json("explain", "weather")["last_flush"]["rows"] == 40
    assert "epoch 1 (manual), 40 rows in 4 batches, 2 files of " in timestore("explain", "weather")

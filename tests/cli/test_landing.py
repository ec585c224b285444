"""`timestore landing`: what it prints, its exit codes, and that a run may be killed at any instant."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.cli.running import ROOT, command, complaint, readings, timestore, timestore_json, write_file
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.system.confined import Entry, Place, Tree
from timestore_pipeline.wiring import Timestore


@pytest.fixture(autouse=True)
def landing(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = home / "landing"
    (folder / "weather").mkdir(parents=True)
    monkeypatch.setenv("TIMESTORE_LANDING_DIRECTORY", str(folder))
    monkeypatch.setenv("TIMESTORE_LANDING_SETTLE_MS", "0")
    return folder


def bad_file(landing: Path) -> Path:
    path = landing / "weather" / "bad.parquet"
    path.write_text("not a table")
    os.utime(path, (0, 0))
    return path


def pending_rows() -> int:
    with Timestore(Settings.from_env()) as store:
        return sum(status.backlog.pending.rows for status in store.statuses())


def test_files_are_taken_and_listed(landing: Path) -> None:
    write_file(landing / "weather" / "a.csv", readings(25))
    assert timestore("landing", "ingest").startswith("staged    weather/a.csv: ")
    assert "no file is ready" in timestore("landing", "ingest")
    assert pending_rows() == 25


def test_the_json_has_every_file(landing: Path) -> None:
    write_file(landing / "weather" / "a.csv", readings(25))
    document = timestore_json("landing", "ingest", "weather")
    [file] = document["files"]
    assert (file["dataset"], file["file"], file["result"], file["rows"]) == ("weather", "a.csv", "staged", 25)
    assert document["error"] is None


def test_a_rejected_file_is_the_exit_codes_and_the_statuss_business(landing: Path) -> None:
    bad_file(landing)
    assert "[unreadable_input]" in timestore("landing", "ingest", code=1)
    document = timestore_json("landing", "status")
    assert document["datasets"][0]["rejected"]["files"] == 1
    assert document["datasets"][0]["reasons"][0]["code"] == "unreadable_input"


def test_the_status_counts_what_is_where(landing: Path) -> None:
    write_file(landing / "weather" / "a.csv", readings(5))
    timestore("landing", "ingest")
    write_file(landing / "weather" / "b.csv", readings(5, first=5))
    (landing / "Not a dataset").mkdir()
    document = timestore_json("landing", "status")
    [weather] = document["datasets"]
    assert (weather["ready"]["files"], weather["archived"]["files"], weather["waiting"]["files"]) == (1, 1, 0)
    assert document["strangers"] == ["Not a dataset"]
    assert "weather  1 file" in timestore("landing", "status", "weather")


def test_a_folder_that_cannot_be_looked_at_is_named_and_the_others_are_shown(
    landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(landing / "weather" / "a.csv", readings(5))
    (landing / "barred").mkdir()
    monkeypatch.setattr(Tree, "walk", barred(Tree.walk))  # root may list any folder
    document = timestore_json("landing", "status", code=1)["datasets"]
    assert [(one["dataset"], one["ready"]["files"]) for one in document] == [("barred", 0), ("weather", 1)]
    assert [one["error"] and one["error"]["code"] for one in document] == ["landing_unusable", None]
    assert "cannot be looked at: Permission denied" in complaint("landing", "status")
    assert "weather  1 file" in timestore("landing", "status", code=1)


def barred(walk: Callable[..., Iterator[Entry]]) -> Callable[..., Iterator[Entry]]:
    def stand_in(tree: Tree, place: Place, skip: Callable[[str], bool]) -> Iterator[Entry]:
        if "barred" in place:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return walk(tree, place, skip)

    return stand_in


def test_a_day_that_is_gone_is_published_again_and_not_twice(landing: Path, home: Path) -> None:
    write_file(landing / "weather" / "a.csv", readings(10))
    timestore("landing", "ingest")
    line = ("landing", "replay", "weather", "--day", "2013-01-02")
    assert "the lake has 5 of the rows" in complaint(*line)
    DeltaTable(home / "lake" / "weather").delete("partition_date = '2013-01-02'")
    assert timestore(*line) == "weather: 5 rows of 1 archived file staged again\n"
    assert timestore_json(*line, code=1)["error"]["code"] == "rows_present"
    assert timestore_json("query", "SELECT count(*) AS rows FROM weather") == [{"rows": 10}]
    assert timestore_json(*line, "--beside")["rows"] == 5


def test_a_replay_of_an_unknown_dataset_is_refused(landing: Path) -> None:
    assert "[unknown_dataset]" in complaint("landing", "replay", "wether", "--day", "2013-01-02")
    complaint("landing", "replay", "weather", "--day", "yesterday", code=2)


def test_without_a_landing_folder_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("TIMESTORE_LANDING_DIRECTORY", str(home / "unmounted"))
    assert "[landing_unusable]" in complaint("landing", "status")
    monkeypatch.delenv("TIMESTORE_LANDING_DIRECTORY")
    assert "set TIMESTORE_LANDING_DIRECTORY" in complaint("landing", "ingest")


def test_a_landing_folder_inside_the_lake_is_refused(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("TIMESTORE_LANDING_DIRECTORY", str(home / "lake" / "landing"))
    assert "overlap" in complaint("landing", "status", code=2)


def test_a_killed_run_is_gone_on_with_and_no_row_is_doubled(landing: Path) -> None:
    for number in range(3):
        write_file(landing / "weather" / f"{number}.parquet", readings(200_000, first=200_000 * number))
    for _ in range(3):
        _ingest_and_kill(pending_rows())
    files = timestore_json("landing", "ingest")["files"]
    # A killed run was half through a file, unless it was through with all of one: the archive has that one.
    assert len(files) < 3 or sum(file["duplicates"] for file in files) > 0
    assert pending_rows() == 600_000
    assert len(list((landing / "_archive" / "weather").iterdir())) == 3


def _ingest_and_kill(before: int) -> None:
    """Kill once it has staged something more than was staged before."""
    with subprocess.Popen(command("landing", "ingest"), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and pending_rows() <= before:
            clock.sleep(0.01)
        process.send_signal(signal.SIGKILL)


def test_two_runs_at_once_take_each_file_once(landing: Path) -> None:
    for number in range(6):
        write_file(landing / "weather" / f"{number}.parquet", readings(20_000, first=20_000 * number))
    runs = [subprocess.Popen(command("landing", "ingest"), cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert pending_rows() == 120_000
    assert len(list((landing / "_archive" / "weather").iterdir())) == 6

"""However somebody arranges and names what he drops, the files of others get in, and the operator is told about it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.attack.hostile_folders import nested
from tests.doors.landing.dropping import drop, files, folder, numbers, take_in
from timestore_pipeline.doors.landing.intake import Intake
from timestore_pipeline.doors.landing.reports import landing_status
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.settings import Settings
from timestore_pipeline.system.confined import DEEPEST

MANY = 4_000  # files; a hundred thousand take a minute to make, and go the same way


@pytest.mark.parametrize("inside", ["hostile", "_ingesting/hostile", "_archive/hostile", "_rejected/hostile"])
def test_folders_nested_without_end_hold_no_other_dataset_up(settings: Settings, landing: Path, inside: str) -> None:
    drop(settings, "a.csv", b"n\n1\n")
    with nested(landing / inside, 1_200):
        assert [outcome.dataset for outcome in take_in(settings)] == ["weather"]
        hostile, weather = landing_status(folder(settings))
    assert (hostile.error, weather.archived.files) == (None, 1)
    assert [one.reason for one in hostile.ignored] == [f"it is nested deeper than {DEEPEST} folders"]


def test_a_path_longer_than_the_system_takes_gets_in(settings: Settings, landing: Path) -> None:
    with nested(landing / "deep", 20, "x" * 250):
        [outcome] = take_in(settings)
        assert outcome.result.value == "staged"
        assert landing_status(folder(settings))[0].archived.files == 1
    subprocess.run(["rm", "-rf", landing / "_archive", landing / "_ingesting"], check=True)


@pytest.mark.parametrize(
    "name",
    ["00000000T000000000000Z~z.csv", "99991231T235959999999Z~z.csv", "20261122T215509123456Z~~.csv", "~.csv"],
)
def test_a_stamp_that_is_none_of_ours_keeps_no_file_out(settings: Settings, landing: Path, name: str) -> None:
    drop(settings, f"../_ingesting/weather/{name}", b"n\n1\n")
    drop(settings, "a.csv", b"n\n2\n")
    assert [outcome.result.value for outcome in take_in(settings)] == ["staged", "staged"]
    assert landing_status(folder(settings))[0].archived.files == 2
    assert numbers(settings) == [1, 2]


@pytest.mark.parametrize("seconds", [-(2**55), 2**33, 2**55], ids=["long ago", "2242", "never"])
def test_a_time_that_no_calendar_has_keeps_no_file_out(settings: Settings, seconds: int) -> None:
    path = drop(settings, "a.csv", b"n\n1\n")
    try:
        os.utime(path, (seconds, seconds))
    except OSError:
        pytest.skip("the filesystem does not keep such times")
    assert [outcome.result.value for outcome in take_in(settings)] == ["staged"]


def test_names_that_are_no_text_get_in_and_are_told_as_text(settings: Settings, landing: Path) -> None:
    hostile = os.fsdecode(b"\xff\xfe\x1b]0;owned\x07\n")
    for number in range(3):
        drop(settings, f"{hostile}{number}/{hostile}{number}.csv", b"n\n%d\n" % number)
    (landing / f"{hostile}.csv").write_text("n\n")
    outcomes = take_in(settings)
    assert [outcome.result.value for outcome in outcomes] == ["staged"] * 3
    assert all((outcome.file + outcome.place).isprintable() for outcome in outcomes)
    assert all(one.place.isprintable() for one in folder(settings).strangers())
    assert numbers(settings) == [0, 1, 2]


def test_a_file_name_in_the_place_of_a_folder_is_told(settings: Settings, landing: Path) -> None:
    for name in ("_ingesting", "_archive", "_rejected"):
        (landing / name).write_text("in the way")
    drop(settings, "a.csv", b"n\n1\n")
    [outcome] = take_in(settings)
    assert (outcome.result.value, outcome.error is not None) == ("postponed", True)
    assert {one.place for one in folder(settings).strangers()} == {"_ingesting", "_archive", "_rejected"}
    assert files(settings, "weather") == ["a.csv"]


def test_very_many_files_hold_no_other_dataset_up(
    settings: Settings, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timestore_pipeline.doors.landing.folder._MOST_LISTED", MANY // 2)
    (landing / "hostile").mkdir()
    for number in range(MANY):
        os.close(os.open(landing / "hostile" / f"{number}.csv", os.O_CREAT))
    drop(settings, "a.csv", b"n\n1\n")
    landing_folder = folder(settings)
    assert len(landing_folder.files("hostile")) == MANY // 2
    with StagingManager.open(settings) as staging:
        outcomes = list(Intake(landing_folder, staging).run(["weather"]))
    assert [outcome.result.value for outcome in outcomes] == ["staged"]
    assert len(landing_status(landing_folder)) == 2

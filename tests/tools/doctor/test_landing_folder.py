"""A landing folder into which files can be dropped, and files in it that are never taken."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.tools.doctor.looking import files, found, seen
from timestore_pipeline import clock
from timestore_pipeline.errors import LandingUnusable
from timestore_pipeline.tools.doctor.examination import Status


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir()
    monkeypatch.setenv("TIMESTORE_LANDING_DIRECTORY", str(folder))
    return folder


def drop(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("n\n1\n")
    return path


def test_no_folder_is_fine_and_a_sound_one_is_not_touched(landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(landing / "weather" / "a.csv")
    before = files(landing / "weather")
    assert [finding.status for finding in found("landing")] == [Status.OK]
    assert files(landing / "weather") == before
    monkeypatch.delenv("TIMESTORE_LANDING_DIRECTORY")
    assert "is unset" in seen("landing", Status.OK)


def test_a_folder_that_is_gone_fails(landing: Path) -> None:
    landing.rmdir()
    with pytest.raises(LandingUnusable, match="is not a folder"):
        found("landing")


def test_strangers_and_rejected_files_are_reported(landing: Path) -> None:
    drop(landing / "lost.csv")
    drop(landing / "_rejected" / "weather" / "a.0123456789abcdef.csv")
    assert "lost.csv: no dataset's folder" in seen("landing", Status.WARNING)
    assert "1 rejected file(s)" in seen("landing", Status.WARNING)


def test_a_file_that_nobody_takes_fails(landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(landing / "weather" / "a.csv")
    hour_later = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: hour_later)
    assert "1 file(s) are ready for more than 600 s, such as weather/a.csv" in seen("landing", Status.FAILED)
    assert "landing_sensor" in seen("landing", Status.FAILED)


def test_a_folder_on_another_filesystem_fails(landing: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == landing.stat().st_dev:
        pytest.skip(f"needs a second filesystem at {elsewhere}")
    (landing / "_archive").symlink_to(elsewhere)
    assert "_archive lies on another filesystem" in seen("landing", Status.FAILED)


def test_a_link_in_the_place_of_a_folder_fails(landing: Path, tmp_path: Path) -> None:
    (landing / "_archive").symlink_to(tmp_path)
    assert "_archive is a link, and links are not followed" in seen("landing", Status.FAILED)
    assert "_archive: no dataset's folder" in seen("landing", Status.WARNING)

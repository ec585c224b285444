"""Staged rows, the ledger and what was set aside are their owner's, and no other user's of the host."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.doors.landing.dropping import readings
from tests.staging.rolled import roll_up_all
from timestore_pipeline.errors import InvalidSettings
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.directory import move_durably
from timestore_pipeline.tools.doctor.examination import Deployment, Status
from timestore_pipeline.tools.doctor.host import permissions
from timestore_pipeline.wiring import Timestore


def modes(root: Path) -> dict[str, int]:
    """Of everything in a staging directory at work. DuckDB makes its logs itself, in folders that are closed."""
    found = [root, *root.rglob("*")]
    return {str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in found if path.suffix != ".wal"}


def at_work(settings: Settings) -> dict[str, int]:
    with StagingManager.open(settings) as staging:
        staging.enqueue("weather", readings(3))
        with Timestore(settings) as store:
            roll_up_all(store.area)
            store.flush("weather", Trigger.MANUAL, "test")

            staging.enqueue("weather", readings(3))
            return modes(settings.staging_directory)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_made_is_its_owners(settings: Settings, umask: int) -> None:
    before = os.umask(umask)
    try:
        found = at_work(settings)
    finally:
        os.umask(before)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
    assert found["."] == found["segments/weather"] == 0o700
    assert found["ledger.sqlite"] == found["ledger.sqlite-wal"] == 0o600


def test_a_directory_that_its_group_may_write_in_is_shared_with_it(settings: Settings) -> None:
    settings.staging_directory.mkdir()
    settings.staging_directory.chmod(0o2770)
    found = at_work(settings)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o007} == {}
    assert {name: oct(mode) for name, mode in found.items() if not mode & 0o020} == {}


def test_a_directory_that_all_may_look_into_is_left_so_and_told(settings: Settings) -> None:
    settings.staging_directory.mkdir(mode=0o755)
    settings.staging_directory.chmod(0o755)
    at_work(settings)
    assert stat.S_IMODE(settings.staging_directory.stat().st_mode) == 0o755
    [told] = [finding for finding in permissions(Deployment(settings, ())) if finding.status is Status.WARNING]
    assert "every user of this host may look into" in told.seen


def test_a_link_in_the_spool_or_in_quarantine_leads_to_nothing(settings: Settings, outside: Path) -> None:
    at_work(settings)
    root = settings.staging_directory
    for name in ("query-0123456789abcdef-abcdefgh", "http-0123456789abcdef"):
        (root / "spool" / name).symlink_to(outside)
    with Timestore(settings) as store, store.query("SELECT 1") as answer:
        answer.rows.read_all()
    assert (outside / "precious.csv").exists()
    (root / "quarantine").mkdir(exist_ok=True)
    (root / "quarantine" / "weather").symlink_to(outside)
    segment = root / "segments" / "weather" / "0.duckdb"
    segment.write_text("damaged")
    with pytest.raises(OSError, match="link"):
        move_durably(segment, root / "quarantine" / "weather" / "0.duckdb")
    assert segment.exists()


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"staging_directory": "{}/lake/s"}, ("STAGING_DIRECTORY", "LAKE_URI")),
        ({"staging_directory": "{}/x", "lake_uri": "file://{}/x"}, ("STAGING_DIRECTORY", "LAKE_URI")),
        ({"landing_directory": "{}/link"}, ("LANDING_DIRECTORY", "STAGING_DIRECTORY")),
        ({"lake_uri": "{}/link/segments"}, ("STAGING_DIRECTORY", "LAKE_URI")),
        ({"landing_directory": "{}/lake/weather"}, ("LANDING_DIRECTORY", "LAKE_URI")),
        ({"landing_directory": "{}/l", "lake_uri": "file://{}/x/../l/lake"}, ("LANDING_DIRECTORY", "LAKE_URI")),
        ({"landing_directory": "{}", "staging_directory": "{}/s"}, ("LANDING_DIRECTORY", "STAGING_DIRECTORY")),
    ],
)
def test_folders_in_each_other_are_refused(tmp_path: Path, variables: dict[str, str], named: tuple[str, str]) -> None:
    (tmp_path / "staging").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "staging")
    places = {name: place.replace("{}", str(tmp_path)) for name, place in variables.items()}
    with pytest.raises(InvalidSettings) as refused:
        Settings.build(home=tmp_path, **places)
    assert all(f"TIMESTORE_{name}=" in str(refused.value) for name in named)

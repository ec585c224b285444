"""The disk is compared with the guardrails, and its speed measured with an unnamed file."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from tests.tools.doctor.looking import files, found, seen, staged
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK, Ledger
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import Status
from timestore_pipeline.tools.doctor.host import durable_write


def test_an_empty_deployment_fits_and_is_as_fast_as_its_disk() -> None:
    assert {finding.status for check in ("disk fit", "clock", "permissions") for finding in found(check)} == {Status.OK}


def test_guardrails_that_the_disk_cannot_hold_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_DATASET_BYTES", str(10**15))
    assert "do not hold 1 times the guardrail of a dataset" in seen("disk fit", Status.WARNING)
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_TOTAL_BYTES", str(10**15))
    assert "producers refuse to start" in seen("disk fit", Status.FAILED)


def test_no_guardrail_at_all_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_DATASET_BYTES", "0")
    assert "may fill the disk" in seen("disk fit", Status.WARNING)


def test_the_trial_write_leaves_nothing(tmp_path: Path) -> None:
    assert durable_write(tmp_path).seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_from_the_future_means_that_the_clock_was_set_back(home: Path) -> None:
    staged(home)
    ledger = Ledger(home / "staging" / "ledger.sqlite", "shard-0")
    ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(clock.now() + timedelta(hours=1))))
    ledger.close()
    assert "the flush sensor ticked at" in seen("clock", Status.WARNING)


def test_a_staging_directory_that_all_users_may_write_is_reported(home: Path) -> None:
    staged(home)
    (home / "staging").chmod(0o777)
    assert "every user of this host may write" in seen("permissions", Status.WARNING)


def test_a_quarantine_on_another_filesystem_fails(home: Path) -> None:
    elsewhere = Path("/dev/shm")
    staged(home)
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == home.stat().st_dev:
        pytest.skip(f"needs a second filesystem at {elsewhere}")
    (home / "staging" / "quarantine").symlink_to(elsewhere)
    assert "must lie on one filesystem" in seen("permissions", Status.FAILED)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_named(home: Path) -> None:
    staged(home)
    os.chown(home / "staging" / "ledger.sqlite", 12345, -1)
    assert "ledger.sqlite belongs to another user" in seen("permissions", Status.WARNING)


def test_looking_changes_nothing(home: Path) -> None:
    staged(home)
    before = files(home / "staging")
    for check in ("configuration", "datasets", "ledger", "backlogs", "dead owners", "quarantine", "flush sensor"):
        found(check)
    assert files(home / "staging") == before


@pytest.mark.parametrize("name", ["TIMESTORE_STAGING_DIRECTORY", "TIMESTORE_LAKE_URI"])
@pytest.mark.parametrize("inside", ["", "/deeper"])
def test_a_file_in_the_place_of_a_folder_fails(
    name: str, inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(name, f"{tmp_path}/file{inside}")
    assert f"{tmp_path}/file is no folder" in seen("lake" if "LAKE" in name else "permissions", Status.FAILED)

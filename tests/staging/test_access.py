"""A user who may not: a clear typed error each time, nothing is set aside, and nothing is lost once it is mended."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.rebuild.conftest import flush, in_lake, problems, stage
from tests.staging.other_user import (
    OTHER_USER,
    Action,
    as_other_user,
    enqueue,
    flush_now,
    recover_and_raise,
    recover_now,
)
from tests.staging.rolled import roll_up_in
from timestore_pipeline import Settings
from timestore_pipeline.errors import InvalidSettings
from timestore_pipeline.wiring import Timestore, rebuild_if_lost

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Ten rows staged and not flushed, by root, where everybody may look."""
    home = Path(tempfile.mkdtemp())
    home.chmod(0o755)
    given = Settings.build(home=home / "home")
    stage(given, 0)
    yield given
    shutil.rmtree(home)


def given_away(settings: Settings) -> None:
    """Everything is nobody's, as after a `chown -R`; the tests take single things back."""
    for path in (settings.home, *settings.home.rglob("*")):
        os.chown(path, OTHER_USER, OTHER_USER)


def is_whole(settings: Settings) -> None:
    assert not list(settings.staging_directory.glob("quarantine/*"))
    flush(settings)
    assert in_lake(settings) == list(range(10))
    assert problems(settings) == []


@pytest.mark.parametrize("action", [enqueue, flush_now, recover_now, rebuild_if_lost])
def test_a_directory_of_somebody_else_is_refused(settings: Settings, action: Action) -> None:
    told = as_other_user(action, settings)
    assert told.startswith("InvalidSettings")
    assert f"TIMESTORE_STAGING_DIRECTORY={settings.staging_directory}: Permission denied" in told
    is_whole(settings)


@pytest.mark.parametrize("action", [enqueue, flush_now, recover_now, rebuild_if_lost])
def test_a_ledger_of_somebody_else_is_refused(settings: Settings, action: Action) -> None:
    given_away(settings)
    ledger = settings.staging_directory / "ledger.sqlite"
    os.chown(ledger, 0, 0)
    ledger.chmod(0o600)
    told = as_other_user(action, settings)
    assert told.startswith("AccessDenied")
    assert str(ledger) in told
    is_whole(settings)


@pytest.mark.parametrize("action", [flush_now, recover_now])
def test_a_lock_file_of_somebody_else_is_refused(settings: Settings, action: Action) -> None:
    with Timestore(settings) as owner:
        mine = owner.area.identity.process_id
        with owner.area.ledger.database.transaction() as tx:
            tx.execute("UPDATE journals SET state = 'open', owner = ?", (mine,))
        lock = settings.staging_directory / "processes" / f"{mine}.lock"
        given_away(settings)
        os.chown(lock, 0, 0)
        lock.chmod(0o600)
        told = as_other_user(action, settings)
    assert told.startswith("AccessDenied")
    assert str(lock) in told
    is_whole(settings)


def test_a_segment_of_somebody_else_is_not_taken_for_damaged(settings: Settings) -> None:
    [segment] = roll_up_in(settings)
    given_away(settings)
    os.chown(segment, 0, 0)
    segment.chmod(0o600)
    told = as_other_user(flush_now, settings)
    assert told.startswith("AccessDenied")
    assert str(segment) in told
    is_whole(settings)


def test_a_journal_of_somebody_else_is_left_out_and_not_taken_for_damaged(settings: Settings) -> None:
    [journal] = settings.staging_directory.glob("journals/*.journal")
    given_away(settings)
    os.chown(journal, 0, 0)
    journal.chmod(0o600)
    assert as_other_user(flush_now, settings) == ""
    told = as_other_user(recover_and_raise, settings)
    assert told.startswith("AccessDenied")
    assert str(journal) in told
    with Timestore(settings) as store:
        assert store.status("d").backlog.pending.rows == 10
    is_whole(settings)


@pytest.mark.parametrize("action", [enqueue, flush_now, rebuild_if_lost])
def test_a_path_that_is_a_file_is_refused(tmp_path: Path, action: Action) -> None:
    path = tmp_path / "staging"
    path.write_text("")
    given = Settings.build(home=tmp_path, staging_directory=path)
    with pytest.raises(InvalidSettings, match="TIMESTORE_STAGING_DIRECTORY"):
        action(given)
    assert path.read_text() == ""

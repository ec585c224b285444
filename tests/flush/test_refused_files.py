"""A file that the system does not let us read is somebody's mistake with owners and modes, not damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flush.conftest import published
from tests.flush.damaging import ROWS, flush, journal_of, stage, stage_in_journal
from timestore_pipeline import Settings
from timestore_pipeline.wiring import Timestore

_ROOT = Path(__file__).parents[2]
_NOBODY = 65534

# Everything is imported before the process turns into one that may not do everything.
_UNPRIVILEGED = f"""
import os, sys
import pyarrow.parquet
from tests.flush.damaging import flush
from timestore_pipeline import Settings
from timestore_pipeline.errors import AccessDenied
from timestore_pipeline.wiring import Timestore
if os.geteuid() == 0:
    os.setgid({_NOBODY}), os.setuid({_NOBODY})
with Timestore(Settings.build(home=sys.argv[1])) as store:
    try:
        print(flush(store))
    except AccessDenied as error:
        print(error.code, error.hint)
"""


@pytest.fixture
def settings() -> Iterator[Settings]:
    """In a folder that others may enter."""
    home = Path(tempfile.mkdtemp(prefix="timestore-refused-"))
    yield Settings.build(home=home)
    shutil.rmtree(home)


def flush_unprivileged(settings: Settings) -> str:
    if os.geteuid() == 0:
        for path in (settings.home, *settings.home.rglob("*")):
            if path.suffix not in (".duckdb", ".journal"):
                os.chown(path, _NOBODY, _NOBODY)
    command = [sys.executable, "-c", _UNPRIVILEGED, str(settings.home)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def only_segment(settings: Settings) -> Path:
    [path] = (settings.staging_directory / "segments" / "d").glob("*.duckdb")
    return path


def test_a_sealed_segment_that_may_not_be_read_fails_the_flush_and_is_left_alone(settings: Settings) -> None:
    stage(settings, 2)
    path = only_segment(settings)
    path.chmod(0)
    told = flush_unprivileged(settings)
    assert told.startswith("access_denied run as the owner of")
    assert path.exists()
    path.chmod(0o600)
    with Timestore(settings) as store:
        backlog = store.status("d").backlog
        assert (backlog.pending.rows, backlog.quarantined.rows, backlog.failures) == (2 * ROWS, 0, 1)
        flush(store)
        assert published(store) == list(range(2 * ROWS))


def test_a_journal_that_may_not_be_read_is_left_out_and_the_next_try_waits(settings: Settings) -> None:
    stage_in_journal(settings, 2)
    with Timestore(settings) as store:
        path = journal_of(store)
    path.chmod(0)
    assert flush_unprivileged(settings).startswith("None\n")
    path.chmod(0o600)
    with Timestore(settings) as store:
        assert store.area.ledger.incidents.all("d") == []
        backlog = store.status("d").backlog
        assert (backlog.pending.rows, backlog.quarantined.rows, backlog.failures) == (2 * ROWS, 0, 1)
        assert backlog.retry_at is not None
        flush(store)
        assert published(store) == list(range(2 * ROWS))


def test_a_journal_that_may_not_be_read_is_named_and_keeps_no_other_waiting(settings: Settings) -> None:
    stage_in_journal(settings, 1)
    with Timestore(settings) as store:
        path = journal_of(store)
        path.chmod(0)
        stage_in_journal(settings, 1, first=1)
        [other] = set(path.parent.iterdir()) - {path}
        other.chmod(0o644)
    told = flush_unprivileged(settings)
    assert f"journal {path.stem} is left out: the system refuses {path}" in told
    path.chmod(0o600)
    with Timestore(settings) as store:
        assert published(store) == list(range(ROWS, 2 * ROWS))
        flush(store)
        assert published(store) == list(range(2 * ROWS))

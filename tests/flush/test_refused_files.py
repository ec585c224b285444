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
from tests.flush.damaging import ROWS, flush, stage
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
with Timestore(Settings.build(home=sys.argv[1], staging_seal_timeout_ms=40_000)) as store:
    try:
        print(flush(store))
    except AccessDenied as error:
        print(error.code, error.hint)
"""


@pytest.fixture
def settings() -> Iterator[Settings]:
    """In a folder that others may enter."""
    home = Path(tempfile.mkdtemp(prefix="timestore-refused-"))
    yield Settings.build(home=home, staging_seal_timeout_ms=40_000)
    shutil.rmtree(home)


def flush_unprivileged(settings: Settings) -> str:
    if os.geteuid() == 0:
        for path in (settings.home, *settings.home.rglob("*")):
            if path.suffix not in (".duckdb", ".wal"):
                os.chown(path, _NOBODY, _NOBODY)
    command = [sys.executable, "-c", _UNPRIVILEGED, str(settings.home)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


def test_a_dead_writers_segment_that_may_not_be_written_is_left_out(settings: Settings) -> None:
    stage(settings, 2)
    path = only_segment(settings)
    with Timestore(settings) as store, store.area.ledger.database.transaction() as tx:
        tx.execute("UPDATE segments SET state = 'open'")
    path.chmod(0)
    assert flush_unprivileged(settings) == "None\n"
    path.chmod(0o600)
    with Timestore(settings) as store:
        assert store.area.ledger.incidents.all("d") == []
        flush(store)
        assert published(store) == list(range(2 * ROWS))

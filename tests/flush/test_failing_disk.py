"""A disk, a network or a limit that fails for a while: nothing sound is ever set aside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.flush.conftest import published
from tests.flush.damaging import (
    ROWS,
    assert_accounted_for,
    cure,
    flush,
    flush_failing,
    numbers,
    poison,
    quarantined,
    segment_of,
    stage,
)
from tests.services.require import require_command
from timestore_pipeline import Settings
from timestore_pipeline.errors import DiskFailing, UnreadableSegment
from timestore_pipeline.flush.export_with_quarantine import ATTEMPTS_BEFORE_ISOLATION
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.batch import IncidentKind
from timestore_pipeline.staging.salvage import Fingerprints, _Reader
from timestore_pipeline.wiring import Timestore

_FLUSHING = """
import sys
from tests.flush.damaging import flush
from timestore_pipeline import Settings
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.wiring import Timestore
with Timestore(Settings.build(home=sys.argv[1])) as store:
    try:
        flush(store)
    except TimestoreError as error:
        print(error.code)
"""


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("pread64:error=EIO", "disk_failing"),
        ("pread64:error=ESTALE", "disk_failing"),
        ("pread64:error=ENOMEM", "retry_later"),
        ("open,openat:error=EMFILE", "retry_later"),
        ("open,openat:error=EIO", "disk_failing"),
    ],
)
def test_a_file_that_the_system_cannot_read_now_fails_the_flush_and_is_left_alone(
    settings: Settings, timestore: Timestore, fault: str, code: str
) -> None:
    ids = stage(settings, 3)
    assert flush_under(settings, fault, segment_of(timestore)) == code
    assert quarantined(timestore) == set()
    flush(timestore)
    assert published(timestore) == numbers(range(3))
    assert_accounted_for(timestore, ids)


def flush_under(settings: Settings, fault: str, path: Path) -> str:
    """Flush while a system call fails for the file; what the caller is told."""
    strace = require_command("strace", remedy="apt-get install strace")
    command = [
        str(strace),
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"inject={fault}",
        "-P",
        str(path),
        sys.executable,
        "-c",
    ]
    done = subprocess.run(
        [*command, _FLUSHING, str(settings.home)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def reading_fails(
    monkeypatch: pytest.MonkeyPatch, path: Path, error: Exception, is_hit: Callable[[range], bool]
) -> None:
    real = _Reader.read

    def read(self: _Reader, first: int, last: int) -> Fingerprints:
        if self._path == path and is_hit(range(first, last + 1)):
            self.close()
            raise error
        return real(self, first, last)

    monkeypatch.setattr(_Reader, "read", read)


def test_what_can_be_read_at_the_second_look_is_not_lost(
    settings: Settings, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = stage(settings, 5)
    poison(segment_of(timestore), [0])
    hits: list[range] = []

    def three_times(tried: range) -> bool:
        hits.extend([tried] if 3 in tried and len(hits) < 4 else [])
        return bool(hits) and hits[-1] is tried

    reading_fails(monkeypatch, segment_of(timestore), UnreadableSegment("checksum"), three_times)
    flush_failing(timestore, 1)
    assert [3] in [list(hit) for hit in hits], "alone it could not be read either"
    assert quarantined(timestore) == set()
    cure(segment_of(timestore))
    flush(timestore)
    assert_accounted_for(timestore, ids)


def test_a_place_that_the_disk_has_lost_costs_what_lay_there(
    settings: Settings, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = stage(settings, 5)
    poison(segment_of(timestore), [0])
    reading_fails(monkeypatch, segment_of(timestore), DiskFailing("bad sector"), lambda tried: 3 in tried)
    flush_failing(timestore, 1)
    [incident] = timestore.area.ledger.incidents.all("d")
    assert (incident.kind, incident.error) == (IncidentKind.SEGMENT, "bad sector")
    assert quarantined(timestore) == {ids[3]}


def test_a_lake_that_cannot_be_written_is_not_the_rows_fault(
    settings: Settings, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export of no rows writes no file, so it alone would not tell."""
    ids = stage(settings, 3)

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise duckdb.IOException("IO Error: Could not write all bytes to file")

    monkeypatch.setattr(LakeTable, "write", refuse)
    flush_failing(timestore, ATTEMPTS_BEFORE_ISOLATION + 2)
    assert quarantined(timestore) == set()
    monkeypatch.undo()
    flush(timestore)
    assert_accounted_for(timestore, ids)


@pytest.mark.parametrize("value", ["No space left on device", "Input/output error", "Permission denied"])
def test_a_row_that_quotes_the_system_is_still_poison(settings: Settings, timestore: Timestore, value: str) -> None:
    ids = stage(settings, 3)
    poison(segment_of(timestore), [])
    with duckdb.connect(segment_of(timestore)) as segment:
        segment.execute("UPDATE rows SET n = ? WHERE n = ?", [value, str(ROWS)])
    flush_failing(timestore, ATTEMPTS_BEFORE_ISOLATION)
    flush(timestore)
    assert quarantined(timestore) == {ids[1]}
    assert_accounted_for(timestore, ids)

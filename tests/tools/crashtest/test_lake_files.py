"""A log whose beginning was removed is read from a checkpoint, and says what it has not shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.tools.crashtest.published import batches, publish
from timestore_pipeline.tools.crashtest.lake_files import PlainLog


def ended(log: PlainLog) -> PlainLog:
    for _ in log.advance():
        continue
    return log


@pytest.fixture
def trimmed(tmp_path: Path) -> Path:
    """Versions 0 to 3, of which only 3 and the checkpoint of 2 are left."""
    for batch in batches(3):
        publish(tmp_path, batch.table)
    table = tmp_path / "trades"
    DeltaTable(table).create_checkpoint()
    publish(tmp_path, batches(1)[0].table)
    for version in range(3):
        (table / "_delta_log" / f"{version:020}.json").unlink()
    return table


def test_a_trimmed_log_has_all_live_files(trimmed: Path) -> None:
    log = ended(PlainLog(trimmed))
    assert log.live == set(trimmed.glob("*.parquet"))
    assert (len(log.live), log.next, log.skipped) == (4, 4, 3)


def test_whoever_had_read_what_was_removed_skips_nothing(trimmed: Path) -> None:
    log = ended(PlainLog(trimmed, next=3))
    assert (log.next, log.skipped) == (4, 0)


def test_a_log_that_is_whole_is_read_commit_by_commit(tmp_path: Path) -> None:
    publish(tmp_path, batches(1)[0].table)
    DeltaTable(tmp_path / "trades").create_checkpoint()
    assert ended(PlainLog(tmp_path / "trades")).skipped == 0

"""Ledger, sensor, owners and quarantine: what is stuck is named with its remedy."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.running import producer
from tests.staging.rolled import roll_up_in
from tests.tools.doctor.looking import files, found, seen, staged
from timestore_pipeline import Settings
from timestore_pipeline.errors import AllSetAside, LedgerLost, UnreadableLedger
from timestore_pipeline.model.flush import FlushBlock, Trigger
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK, Ledger
from timestore_pipeline.staging.ledger_format import FORMAT_VERSION
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import Status
from timestore_pipeline.wiring import Timestore


def test_no_ledger_is_fine_and_none_is_made(home: Path) -> None:
    assert "the first process creates it" in seen("ledger", Status.OK)
    assert not home.exists()


def test_a_sound_ledger_is_reported_with_its_shard(home: Path) -> None:
    staged(home)
    assert f"SQLite finds it whole; format version {FORMAT_VERSION}, shard shard-0" in seen("ledger", Status.OK)


def test_a_ledger_in_use_is_read_beside_its_users(home: Path) -> None:
    with producer(rows=5):
        assert "SQLite finds it whole" in seen("ledger", Status.OK)
        assert "1 processes live" in seen("dead owners", Status.OK)


def test_a_lost_ledger_fails(home: Path) -> None:
    staged(home)
    (home / "staging" / "ledger.sqlite").unlink()
    with pytest.raises(LedgerLost, match="is lost"):
        found("ledger")


def test_a_damaged_ledger_fails(home: Path) -> None:
    staged(home)
    ledger = home / "staging" / "ledger.sqlite"
    content = ledger.read_bytes()
    ledger.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(UnreadableLedger):
        found("ledger")


def test_a_ledger_of_another_shard_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(home)
    monkeypatch.setenv("TIMESTORE_SHARD", "other")
    assert "set TIMESTORE_SHARD to its owner" in seen("ledger", Status.FAILED)


def test_a_sensor_that_never_ran_is_a_warning_and_one_that_stopped_a_failure(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged(home)
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    assert "no flush sensor has run" in seen("flush sensor", Status.WARNING)
    _ticked(home, timedelta(minutes=5))
    assert "ticked 300 s ago" in seen("flush sensor", Status.FAILED)
    _ticked(home, timedelta(0))
    assert "ticked 0 s ago" in seen("flush sensor", Status.OK)
    _ticked(home, -timedelta(hours=1))
    assert "the clock was set back" in seen("flush sensor", Status.WARNING)


def test_a_killed_producer_leaves_nothing_that_needs_anything(home: Path) -> None:
    """Its journal is read by the next flush like a living one's."""
    with producer(rows=5) as process:
        process.kill()
        process.wait()
        before = files(home / "staging")
        assert "dead ones left nothing behind" in seen("dead owners", Status.OK)
        assert files(home / "staging").keys() == before.keys()


def test_leftovers_of_a_process_that_died_in_a_roll_up_are_reported(home: Path) -> None:
    staged(home)
    with Timestore(Settings.build(home=home)) as store:
        dataset_id = store.area.ledger.datasets.get("weather").dataset_id
        store.area.ledger.segments.register("unfinished", dataset_id, "0" * 16)
    assert "left 1 unfinished segment(s)" in seen("dead owners", Status.WARNING)


def test_leftovers_of_a_killed_query_in_the_spool_are_reported(home: Path) -> None:
    staged(home)
    left = home / "staging" / "spool" / f"query-{'0' * 16}-abcdefgh"
    left.mkdir()
    (left / "a.duckdb").write_bytes(bytes(2_000_000))
    assert "killed processes left 2 MB in the spool" in seen("dead owners", Status.WARNING)
    assert left.exists()


def test_a_paused_and_a_failing_dataset_are_reported(home: Path) -> None:
    staged(home)
    with Timestore(Settings.build(home=home)) as store:
        store.area.ledger.datasets.set_paused("weather", True)
        store.area.ledger.flush_failures.postpone("weather", clock.now())
    assert "weather: flushes are paused" in seen("backlogs", Status.WARNING)
    assert "weather: 1 flushes failed in a row" in seen("backlogs", Status.FAILED)


def test_rows_that_wait_longer_than_the_pager_allows_are_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(home)
    later = clock.now() + timedelta(minutes=10)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert "weather: the oldest batch waits for 600 s" in seen("backlogs", Status.FAILED)


def test_quarantined_batches_are_reported(home: Path) -> None:
    staged(home)
    [segment] = roll_up_in(Settings.build(home=home))
    segment.write_bytes(b"no database")
    with Timestore(Settings.build(home=home)) as store, pytest.raises(AllSetAside):
        store.flush("weather", Trigger.MANUAL, "test")
    assert "weather: 1 incident(s)" in seen("quarantine", Status.WARNING)


def _ticked(home: Path, ago: timedelta) -> None:
    ledger = Ledger(home / "staging" / "ledger.sqlite", "shard-0")
    ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(clock.now() - ago)))
    ledger.close()


def test_an_error_that_blocks_a_dataset_is_reported_with_its_remedy(home: Path) -> None:
    staged(home)
    with Timestore(Settings.from_env()) as store:
        block = FlushBlock("unsupported_table", "the table has a constraint", "take it off", clock.now(), "")
        store.area.ledger.flush_failures.block("weather", block)
    [finding] = [finding for finding in found("backlogs") if finding.status is Status.FAILED]
    assert finding.seen == "weather: blocked: the table has a constraint"
    assert finding.remedy == "take it off; then `timestore flush weather`"

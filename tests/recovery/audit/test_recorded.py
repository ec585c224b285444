"""The series of verifications: written by every way to verify, and never better than what was seen."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.recovery.audit.books import alter_ledger
from timestore_pipeline.errors import RetryLater
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.recovery.shard_audit import audit_dataset, verify
from timestore_pipeline.staging.ledger.counters import PROBLEMS, VERIFIED
from timestore_pipeline.wiring import Timestore


def recorded(store: Timestore) -> tuple[set[str], dict[str, float]]:
    """Results that were seen, and problems by depth."""
    found = store.area.ledger.counters.all()
    results = {one.labels["result"] for one in found if one.series == VERIFIED}
    return results, {one.labels["depth"]: one.value for one in found if one.series == PROBLEMS}


def go_wrong(store: Timestore) -> None:
    alter_ledger(store, "UPDATE volumes SET rows = rows + 1 WHERE state = 'published'")


def lose_the_lake(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_table: LakeTable) -> None:
        raise RetryLater("the lake does not answer")

    monkeypatch.setattr(LakeTable, "history", unreachable)


def test_each_way_to_verify_is_recorded(store: Timestore) -> None:
    verify(store.area, store.lake)
    assert recorded(store) == ({"ok"}, {"quick": 0})
    go_wrong(store)
    found = audit_dataset(store.area, store.lake, "weather", deep=True)
    assert recorded(store) == ({"ok", "problems"}, dict.fromkeys(("quick", "deep"), len(found.problems)))


def test_a_repair_records_what_is_left(store: Timestore) -> None:
    go_wrong(store)
    assert verify(store.area, store.lake, repair=True).ok
    assert recorded(store) == ({"ok"}, {"quick": 0})


def test_a_verification_that_could_not_look_is_unknown_and_keeps_what_was_found(
    store: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_lake(monkeypatch)
    assert not verify(store.area, store.lake).ok
    assert recorded(store) == ({"unknown"}, {})
    go_wrong(store)
    verify(store.area, store.lake)
    assert recorded(store)[0] == {"unknown", "problems"}
    assert recorded(store)[1]["quick"] > 0


def test_a_table_that_lost_its_log_has_a_problem_although_its_log_cannot_be_read(store: Timestore) -> None:
    [first] = Path(store.lake.table("weather").uri).glob("_delta_log/*0.json")
    first.write_text("{")
    verify(store.area, store.lake)
    assert recorded(store)[0] == {"problems"}


def test_findings_are_reported_also_when_the_ledger_takes_none(
    store: Timestore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("timestore_pipeline.staging.ledger.database._BUSY_TIMEOUT", 0.05)
    with closing(sqlite3.connect(store.area.directory.ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert audit_dataset(store.area, store.lake, "weather").ok
    assert recorded(store) == (set(), {})
    assert "no series shows this verification" in caplog.text

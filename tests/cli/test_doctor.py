"""`timestore doctor` says what is wrong and what to do, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import staged, timestore, timestore_json
from timestore_pipeline.tools.doctor.check_list import CHECKS


def test_doctor_makes_every_check_and_nothing_else(home: Path) -> None:
    document = timestore_json("doctor")
    assert document["ok"] is True
    assert list(dict.fromkeys(check["check"] for check in document["checks"])) == [*CHECKS, "dagster"]
    assert list(document["checks"][0]) == ["check", "status", "seen", "remedy"]
    assert list(home.iterdir()) == []


def test_doctor_fails_with_the_reason_and_the_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(home)
    monkeypatch.setenv("TIMESTORE_SHARD", "other")
    output = timestore("doctor", code=1)
    assert "failed   ledger         it belongs to shard 'shard-0', TIMESTORE_SHARD is 'other'\n" in output
    assert "-> set TIMESTORE_SHARD to its owner" in output
    assert "1 failure, 1 warning" in output

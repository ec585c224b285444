"""`timestore simulate` passes as it comes, fails with the reason, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import complaint, timestore, timestore_json

_SMALL = ("--producers", "1", "--datasets", "2", "--rows", "200", "--batches", "6")


def test_the_defaults_carry_a_small_load_and_nothing_is_left(home: Path) -> None:
    document = timestore_json("simulate", *_SMALL)
    assert [point["check"] for point in document["checks"] if not point["ok"]] == []
    assert document["acknowledged"] == document["published"] == {"batches": 6, "rows": 1200}
    assert list(home.iterdir()) == []


def test_flushes_that_are_too_slow_fail_and_nothing_is_lost(home: Path) -> None:
    output = timestore("simulate", *_SMALL, "--slo", "0.001", "--directory", home / "kept", code=1)
    assert "FAIL  flush p95: " in output
    assert "pass  conservation: 6 batches" in output
    assert (home / "kept" / "lake").is_dir()


def test_a_guardrail_that_lets_nothing_in_fails_with_its_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_GUARDRAIL_MODE", "hard")
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_DATASET_BYTES", "1000")  # less than an empty segment
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_BYTES", "0")
    output = timestore("simulate", *_SMALL, code=1)
    assert "FAIL  drops: " in output
    assert "dataset_bytes (TIMESTORE_STAGING_MAX_DATASET_BYTES)" in output


def test_contradictory_limits_are_refused_before_anything_starts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_BYTES", "600000000")
    assert "does not fit below TIMESTORE_STAGING_MAX_DATASET_BYTES" in complaint("simulate", code=2)
    assert list(home.iterdir()) == []


def test_a_directory_with_something_in_it_is_never_touched(home: Path) -> None:
    (home / "mine").write_text("precious")
    assert "is not empty" in complaint("simulate", "--directory", home, code=2)

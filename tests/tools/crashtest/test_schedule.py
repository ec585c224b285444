"""The plan of a crash test follows from its seed alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from timestore_pipeline.tools.crashtest.process_phases import PHASES, TARGETS
from timestore_pipeline.tools.crashtest.schedule import ROSTER, CrashPlan, Role


def test_the_strikes_add_up_to_the_kills_that_were_asked_for(tmp_path: Path) -> None:
    strikes = list(CrashPlan(tmp_path, kills=500, seed=3).strikes())
    assert sum(len(strike.victims) for strike in strikes) == 500


def test_one_seed_makes_one_plan_and_another_seed_another(tmp_path: Path) -> None:
    first, again, other = (list(CrashPlan(tmp_path, kills=50, seed=seed).strikes()) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_single_processes_a_few_and_the_whole_host_are_struck(tmp_path: Path) -> None:
    sizes = {len(set(strike.victims)) for strike in CrashPlan(tmp_path, kills=1000, seed=1).strikes()}
    assert {1, 2, 3, len(ROSTER)} <= sizes


def test_every_role_can_be_aimed_at_in_phases_that_exist() -> None:
    assert set(TARGETS) == set(Role)
    assert {phase for phases in TARGETS.values() for phase in phases} <= set(PHASES)


def test_a_production_environment_does_not_reach_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LAKE_URI", "s3://production/lake"), ("SHARD", "host-1"), ("STAGING_DIRECTORY", "/data")):
        monkeypatch.setenv(f"TIMESTORE_{name}", value)
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_ROWS", "7")
    settings = CrashPlan(tmp_path, kills=1, seed=1).settings()
    assert settings.lake_uri == str(tmp_path / "lake")
    assert settings.staging_directory == tmp_path / "staging"
    assert (settings.shard, settings.staging_flush_max_rows) == ("crashtest", 1_000_000)

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.environment import YEAR_IN_A_MINUTE, Home, UnusableHome, adopt, inherited
from timestore_pipeline import Settings


def test_a_run_finds_its_home_empty_and_leaves_what_it_wrote(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.fresh():
        (home.root / "lake").mkdir()
        (home.root / "note").touch()
    assert home.lake.exists()
    with home.fresh():
        assert not home.lake.exists()
        assert not (home.root / "note").exists()
        assert home.logs.is_dir()


def test_a_folder_the_demo_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UnusableHome, match="did not write"), Home(tmp_path).fresh():
        pass
    assert (tmp_path / "thesis.txt").exists()


def test_a_folder_where_no_demo_has_run_is_not_checked(tmp_path: Path) -> None:
    with pytest.raises(UnusableHome, match="no demo has run"):
        Home(tmp_path / "home").check_used()


def test_two_runs_do_not_share_a_home(tmp_path: Path) -> None:
    with Home(tmp_path).fresh(), pytest.raises(UnusableHome, match="another demo runs"), Home(tmp_path).fresh():
        pass


def test_a_home_inside_another_survives_its_emptying(tmp_path: Path) -> None:
    inner = Home(tmp_path / "dev")
    with Home(tmp_path).fresh():
        pass
    with inner.fresh():
        (inner.root / "note").touch()
        with Home(tmp_path).fresh():
            pass
        assert (inner.root / "note").exists()


def test_the_settings_of_a_run_are_the_demos_and_not_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", os.environ | {"TIMESTORE_SHARD": "mine", "DAGSTER_HOME": "/mine"})
    adopt(Home(tmp_path).variables(YEAR_IN_A_MINUTE))
    assert inherited()["DAGSTER_HOME"] == str(tmp_path / "dagster")
    assert Settings.from_env().shard == "shard-0"
    assert Settings.from_env().thresholds.max_rows == YEAR_IN_A_MINUTE.rows

"""`timestore monitoring render` writes what Prometheus loads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.running import complaint, staged, timestore, timestore_json


def test_the_rules_of_the_shard_are_written(home: Path) -> None:
    staged(home)
    path = home / "out" / "timestore-shard-0.rules.yml"
    assert str(path) in timestore("monitoring", "render", home / "out").split()
    [recorded, alerting] = yaml.safe_load(path.read_text())["groups"]
    assert (recorded["name"], alerting["name"]) == ("timestore-shard-0-recorded", "timestore-shard-0")


def test_levels_of_the_metadata_are_in_force(home: Path) -> None:
    staged(home)
    timestore("datasets", "set", "weather", "staging.alerts.backlogWarn=7", "staging.alerts.backlogPage=9")
    found = timestore_json("monitoring", "render", home / "out")
    [path] = [Path(name) for name in found["files"] if name.endswith(".yml")]
    assert 'dataset="weather",metric="batches"}) > 7\n' in path.read_text()
    assert 'dataset="weather",metric="batches"}) > 9\n' in path.read_text()


def test_levels_that_contradict_each_other_are_refused(home: Path) -> None:
    staged(home)
    said = complaint("datasets", "set", "weather", "staging.alerts.backlogWarn=100")
    assert "backlogWarn lies above backlogPage" in said
    assert "20 and 50" in said


@pytest.mark.parametrize("hurry", ["0", "0.5", "nan"])
def test_a_hurry_that_is_none_is_wrong_usage(home: Path, hurry: str) -> None:
    complaint("monitoring", "render", home, "--hurry", hurry, code=2)


def test_a_folder_that_is_a_file_is_named(home: Path) -> None:
    (home / "file").touch()
    assert "unwritable_output" in complaint("monitoring", "render", home / "file")


def test_the_dashboard_is_written_beside_the_rules_unless_it_is_not_wanted(home: Path) -> None:
    found = timestore_json("monitoring", "render", home / "out")["files"]
    assert [Path(name).name for name in found] == ["timestore-shard-0.rules.yml", "timestore-dashboard.json"]
    assert json.loads((home / "out" / "timestore-dashboard.json").read_text())["uid"] == "timestore-staging"
    assert len(timestore_json("monitoring", "render", home / "rules", "--no-dashboard")["files"]) == 1


def test_without_grafanas_builders_the_extra_is_named_and_nothing_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grafana_foundation_sdk.builders", None)
    monkeypatch.delitem(sys.modules, "timestore_pipeline.monitoring.alerting.grafana", raising=False)
    said = complaint("monitoring", "render", home / "out")
    assert "missing_extra" in said
    assert "timestore_pipeline[monitoring]" in said
    assert not (home / "out").exists()

"""What docs/deployment.md tells people to write and to type, tried: workspace, units, and every `sh` block."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cli.running import readings
from tests.docs.documents import ROOT
from tests.docs.test_producers import environment_of
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.wiring import Timestore

PAGE = (ROOT / "docs" / "deployment.md").read_text()


def blocks(heading: str, language: str) -> list[str]:
    """The blocks of that language under the heading of the second or third level."""
    section = re.search(rf"^###? {re.escape(heading)}$(.*?)(?=^###? |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    return re.findall(rf"^```{language}\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of every process of the page."""
    home = tmp_path / "home"
    monkeypatch.setenv("TIMESTORE_HOME", str(home))
    monkeypatch.setenv("TIMESTORE_STAGING_DIRECTORY", str(home / "staging"))
    return home


def type_in(block: str, folder: Path) -> None:
    """In the environment that `home` has prepared."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("TIMESTORE_")}
    command, environment = ["bash", "-ec", block], environment_of(folder) | ours
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (block, done.stdout, done.stderr)


def stage(first: int) -> None:
    with StagingManager.open(Settings.from_env()) as staging:
        staging.enqueue("weather", readings(3, first), idempotency_key=str(first))


def test_the_workspace_has_our_code_location_beside_another_one() -> None:
    [block] = blocks("Beside an existing Dagster", "yaml")
    ours = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    theirs, location = (entry["python_module"] for entry in yaml.safe_load(block)["load_from"])
    assert theirs["module_name"] == "team_definitions"
    assert location.items() >= ours.items()


def test_the_unit_starts_what_the_page_of_dagster_starts() -> None:
    variables, unit = blocks("As systemd services", "ini")
    settings = dict(line.split("=", 1) for line in variables.splitlines())
    Settings.build(
        **{name.removeprefix("TIMESTORE_").lower(): settings[name] for name in settings if "TIMESTORE" in name}
    )
    parsed = configparser.RawConfigParser()
    parsed.read_string(unit)
    assert parsed["Service"]["EnvironmentFile"] == "/etc/timestore.env"
    assert parsed["Service"]["WorkingDirectory"] == settings["DAGSTER_HOME"]
    scripts = re.findall(r"^\| `[a-z-]+` \| `exec /opt/timestore/bin/(.*?)` \|$", PAGE, re.MULTILINE)
    *dagsters, api = scripts
    assert set(dagsters) < set((ROOT / "docs" / "dagster.md").read_text().splitlines())
    assert shlex.split(api) == ["timestore", "serve"]


def test_another_format_is_met_with_an_empty_directory(home: Path, tmp_path: Path) -> None:
    stage(0)
    drain, forward = blocks("Upgrade", "sh")
    type_in(drain, tmp_path)
    show, *begin = forward.splitlines(keepends=True)
    type_in(show, tmp_path)
    (home / "staging").rename(home / "old")
    type_in("".join(begin), tmp_path)
    stage(3)
    type_in("timestore flush weather --now && timestore verify", tmp_path)
    assert _published() == 6


def test_a_ledger_from_a_backup_knows_again_what_came_after_it(home: Path, tmp_path: Path) -> None:
    stage(0)
    type_in(blocks("Back up", "sh")[0], tmp_path)
    stage(3)
    type_in("timestore flush weather --now", tmp_path)
    stage(6)
    (home / "staging" / "ledger.sqlite").write_bytes(b"lost")
    type_in(blocks("Restore", "sh")[0], tmp_path)
    type_in("timestore flush weather --now && timestore verify", tmp_path)
    assert _published() == 9


def _published() -> int:
    with Timestore(Settings.from_env()) as timestore:
        return int(timestore.lake.table("weather").to_arrow_dataset().count_rows())

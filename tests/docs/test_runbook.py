"""Every command of the runbook is executed, as it stands, in the situation it is written for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.documents import anchors
from tests.docs.runbook import RUNBOOK, steps
from tests.docs.runbook_scenes import SCENES, scene
from tests.services.warm import warm_timestore
from timestore_pipeline.monitoring.alerting.alert import Watch
from timestore_pipeline.monitoring.alerting.alerts import alerts

_BLOCKS = [(step.heading, number, block) for step in steps() for number, block in enumerate(step.blocks)]


@pytest.fixture(scope="module")
def prelude(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The one liberty taken: the program is this checkout's, whatever is installed, and its modules are loaded."""
    with warm_timestore(tmp_path_factory.mktemp("warm")) as defined:
        yield defined


@pytest.mark.parametrize(("heading", "number", "block"), _BLOCKS, ids=[f"{h} {n}" for h, n, _ in _BLOCKS])
def test_commands_do_what_the_runbook_says(
    heading: str, number: int, block: str, prelude: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("TIMESTORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path))
    scene(heading, number)(tmp_path)
    given = os.environ | {"TIMESTORE_STAGING_DIRECTORY": str(tmp_path / "staging")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", prelude + block], cwd=tmp_path, env=given, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_every_scene_belongs_to_a_heading() -> None:
    assert SCENES.keys() - {step.heading for step in steps()} == set()


def test_every_alert_has_its_place_in_the_runbook() -> None:
    """As a heading: the rendered rules link to it."""
    assert {alert.anchor for alert in alerts(Watch("shard-0"))} - anchors(RUNBOOK) == set()

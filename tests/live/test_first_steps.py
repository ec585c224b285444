"""docs/first-steps.md from its first step to its last, with real processes, beside two assets and a schedule."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from demo.processes import Child, Children, free_port, listens
from tests.docs.test_first_steps import OURS, blocks
from tests.docs.test_producers import environment_of
from tests.services.require import require_command
from timestore_pipeline.system import clock

PATIENCE = 300.0  # seconds for anything to happen on a busy machine
_LOOK_EVERY = 1.0  # seconds
_API = "8451"  # the port in the document

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class Newcomer:
    """Has a project, and types what the page says: in one shell, or in a shell of its own what goes on."""

    def __init__(self, folder: Path, environment: dict[str, str], children: Children) -> None:
        self.folder = folder
        self._environment = environment
        self._children = children
        self._started: list[Child] = []

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def type_in(self, block: str) -> str:
        return self._said(["bash", "-ec", block])

    def python(self, source: str) -> str:
        return self._said([sys.executable, "-W", "error", "-c", source])

    def start(self, line: str, port: int) -> None:
        program, *arguments = shlex.split(line)
        command = [str(require_command(program, remedy=f"pip install what has {program}")), *arguments]
        self._started.append(self._children.start(program, command, directory=self.folder))
        self.wait_for(lambda: listens(port))

    def wait_for(self, done: Callable[[], bool]) -> None:
        deadline = clock.monotonic() + PATIENCE
        while not done():
            for child in self._started:
                child.check_running()
            assert clock.monotonic() < deadline, [child.log.read_text()[-5_000:] for child in self._started]
            clock.sleep(_LOOK_EVERY)

    def _said(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command[-1], done.stdout, done.stderr)
        return done.stdout


def test_a_newcomer_gets_from_the_first_step_to_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, home, programs = (tmp_path / name for name in ("project", "dagster", "bin"))
    for folder in (project, home, programs):
        folder.mkdir()
    [exports] = blocks(2, "sh")
    exported = dict(re.findall(r"^export (\w+)=(\S+)$", exports, re.MULTILINE))
    variables = {name: value.replace("$HOME", str(tmp_path)) for name, value in exported.items()}
    environment = environment_of(programs) | variables | {"DAGSTER_HOME": str(home), "HOME": str(tmp_path)}
    environment["PATH"] = f"{programs}:{Path(sys.executable).parent}:{environment['PATH']}"
    monkeypatch.setenv("PATH", environment["PATH"])
    with Children(tmp_path / "logs", environment) as children:
        newcomer = Newcomer(project, environment, children)
        _set_up(newcomer, home)
        _stage_and_read(newcomer)
        _follow(newcomer, home)
        [rules] = blocks(10, "sh")
        assert 'timestore_staging_queue_depth{dataset="weather"' in newcomer.type_in(rules)


def _set_up(newcomer: Newcomer, home: Path) -> None:
    """Steps 3 to 5; the assets of step 8 are there from the beginning."""
    workspace, instance = blocks(3, "yaml")
    newcomer.write("team_definitions.py", OURS + blocks(8, "python")[0])
    newcomer.write("workspace.yaml", workspace)
    (home / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{instance}")
    dagster, doctor = blocks(4, "sh")
    port = free_port()
    newcomer.start(f"{dagster.strip()} -p {port}", port)
    [datasets] = blocks(5, "yaml")
    newcomer.write("datasets.yaml", datasets)
    preview, applied = newcomer.type_in(blocks(5, "sh")[0]).split("nothing was written\n")
    assert "weather (new)" in preview
    assert "1 of 1 dataset changed" in applied
    newcomer.wait_for(lambda: "ok       flush sensor" in newcomer.type_in(f"{doctor.strip()} || true"))


def _stage_and_read(newcomer: Newcomer) -> None:
    """Steps 6, 7 and 9."""
    [python] = blocks(6, "python")
    file, request = blocks(6, "sh")
    assert "duplicate=False" in newcomer.python(python)
    newcomer.type_in(file)
    port = free_port()
    newcomer.start(f"timestore serve --port {port}", port)
    newcomer.type_in(request.replace(_API, str(port)))
    [look], [read] = blocks(7, "sh"), blocks(7, "python")
    assert "14.96" in newcomer.type_in(look)
    newcomer.wait_for(lambda: "nothing is staged" in newcomer.type_in("timestore explain weather"))
    assert "14.96" in newcomer.python(read)
    [footers] = blocks(9, "python")
    assert set(newcomer.python(footers).split()) & {"GZIP", "ZSTD", "SNAPPY"} == {"GZIP"}


def _follow(newcomer: Newcomer, home: Path) -> None:
    """The asset downstream runs after a flush that comes once its sensor has begun to look."""
    [file, _] = blocks(6, "sh")

    def has_followed() -> bool:
        newcomer.type_in(f"{file}sleep 5")
        with dg.DagsterInstance.from_config(str(home)) as instance:
            record = instance.get_latest_materialization_event(dg.AssetKey("report"))
            runs = {run.job_name: run.status for run in instance.get_runs()}
        return record is not None and runs["partition_build"] is dg.DagsterRunStatus.SUCCESS

    newcomer.wait_for(has_followed)

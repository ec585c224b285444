"""Each documented way to start Dagster, exactly as docs/dagster.md has it: flushes, serves, and remembers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from demo.processes import Child, Children, free_port, listens
from tests.defs.flushing import hourly
from tests.live.graphql import DagsterApi
from tests.services.require import require_command
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "dagster.md").read_text()
PATIENCE = 180.0  # seconds for anything to happen on a busy machine
CODE_SERVER, WEB_SERVER = "4266", "3000"  # the ports in the document
_LOOK_EVERY = 0.1  # seconds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def documented(heading: str, language: str) -> str:
    """The first block of that language under the heading."""
    found = re.search(rf"^### {re.escape(heading)}$.*?^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


class Project:
    """A folder with the repository's Dagster files, something staged in it, and nothing in the environment."""

    def __init__(self, folder: Path, children: Children) -> None:
        self.folder = folder
        self._children = children
        self._started: list[Child] = []
        self._exported: list[str] = []
        self._ports = {CODE_SERVER: str(free_port()), WEB_SERVER: str(free_port())}
        self.url = f"http://127.0.0.1:{self._ports[WEB_SERVER]}"

    def export(self, line: str) -> None:
        """For what is started from now on."""
        self._exported.append(line.removeprefix("export ").replace("$PWD", str(self.folder)))

    def start(self, line: str) -> None:
        """Run a line of the document, with ports that are free."""
        program, *arguments = shlex.split(self.here(line))
        path = require_command(program, remedy=f"pip install what has the command {program}")
        command = ["env", *self._exported, str(path), *arguments]
        self._started.append(self._children.start(program, command, directory=self.folder))

    def finish(self) -> None:
        """Wait for the end of what was started last."""
        self.wait_for(self._started.pop().finished)

    def here(self, text: str) -> str:
        return re.sub("|".join(self._ports), lambda port: self._ports[port[0]], text)

    def wait_for(self, done: Callable[[], bool]) -> None:
        deadline = clock.monotonic() + PATIENCE
        while not done():
            for child in self._started:
                child.check_running()
            assert clock.monotonic() < deadline, [child.log.read_text()[-3_000:] for child in self._started]
            clock.sleep(_LOOK_EVERY)

    def wait_for_code_server(self) -> None:
        self.wait_for(lambda: listens(int(self._ports[CODE_SERVER])))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "TIMESTORE_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    variables = {"DAGSTER_DISABLE_TELEMETRY": "1", "TIMESTORE_STAGING_FLUSH_MAX_AGE_MS": "1000"}
    environment = own | variables | {"PATH": path, "PYTHONPATH": str(ROOT), "TIMESTORE_HOME": str(tmp_path / "home")}
    with Children(tmp_path / "logs-of-children", environment) as children:
        yield Project(tmp_path, children)


def flushes_serves_and_remembers(project: Project, start: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is staged is published by a run that the web server shows, and that is known when all have ended."""
    settings = Settings.build(home=project.folder / "home")
    with StagingManager.open(settings) as staging, Timestore(settings) as timestore:
        staging.enqueue("weather", hourly(3))
        start()
        flushes = timestore.area.ledger.flushes
        project.wait_for(lambda: [flush.state for flush in flushes.history("weather")] == [FlushState.PUBLISHED])
        [flush] = flushes.history("weather")
    with closing(DagsterApi(project.url)) as api:
        project.wait_for(api.serves)
        project.wait_for(lambda: api.status(flush.run_id) == "SUCCESS")
    monkeypatch.chdir(project.folder)  # the storage is relative to it
    with dg.DagsterInstance.from_config(str(project.folder)) as instance:
        assert [run.run_id for run in instance.get_runs()] == [flush.run_id]


def test_dagster_dev_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    command = f"{documented('On a laptop', 'sh').strip()} -p {WEB_SERVER}"
    flushes_serves_and_remembers(project, lambda: project.start(command), monkeypatch)


# Two dozen packages for one command: the night installs them.
@pytest.mark.nightly
def test_dg_dev(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    command = f"{documented('With `dg`', 'sh').strip()} -p {WEB_SERVER}"
    flushes_serves_and_remembers(project, lambda: project.start(command), monkeypatch)


@pytest.mark.nightly
def test_three_services(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    export, prepare, code_server, *others = documented("As services", "sh").strip().splitlines()
    (project.folder / "workspace.yaml").write_text(project.here(documented("As services", "yaml")))

    def start() -> None:
        project.export(export)
        project.start(prepare)
        project.finish()
        project.start(code_server)
        project.wait_for_code_server()
        for command in others:
            project.start(command)

    flushes_serves_and_remembers(project, start, monkeypatch)

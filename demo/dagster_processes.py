"""Dagster as operators run it: a code server, the daemon that ticks the sensors, and the web server with the UI.

Each is a process of its own, so that one can be killed and started again. The code server is shared by the other two:
loaded by each of them, as `dagster dev` does, it would cost the two cores twice.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import psutil
from dagster import DagsterInstance, RunsFilter
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from demo.environment import REPOSITORY, Home
from demo.processes import Child, Children, free_port, listens
from demo.waiting import wait_until

_HOST = "127.0.0.1"
_LOCATION = "timestore_pipeline"
_START_SECONDS = 180.0  # on two busy cores a code server takes five
_STORAGE = ".dagster"  # where the repository's dagster.yaml puts everything, relative to the working directory


class DagsterProcesses:
    """Stopped by the `Children` that started them."""

    module = f"{_LOCATION}.definitions"
    server = ("api", "grpc")  # one process; `code-server start` is two, and can load new definitions

    def __init__(self, children: Children, home: Home, ui_port: int) -> None:
        self.ui = f"http://{_HOST}:{ui_port}"
        self._children = children
        self._home = home
        self._ui_port = ui_port
        self._code_port = free_port()
        self._running: dict[str, Child] = {}

    def start(self) -> None:
        """Return when all three are started; raise `ChildFailed` or `TookTooLong`. The first tick comes later."""
        self.start_ticking()
        self._start("webserver", "dagster_webserver", "-w", self._workspace, "-h", _HOST, "-p", str(self._ui_port))

    def start_ticking(self) -> None:
        """`start` without the UI."""
        self.configured().dispose()
        self.start_code_server()
        self.wait_for_code_server()
        self.start_daemon()

    def start_code_server(self) -> None:
        address = ("-h", _HOST, "-p", str(self._code_port))
        self._start("code-server", "dagster", *self.server, "-m", self.module, *address)

    def start_daemon(self) -> None:
        self._start("daemon", "dagster._daemon", "run", "-w", self._workspace)

    def restart_after_kill(self) -> tuple[int, int]:
        """`kill -9` of daemon and code server, then start both again; returns the killed process ids.

        Raises `ChildFailed` when one of them had ended before.
        """
        daemon, code_server = self._running["daemon"], self._running["code-server"]
        self.kill_daemon()
        _kill(code_server)
        self.start_code_server()
        self.wait_for_code_server()
        self.start_daemon()
        return daemon.process.pid, code_server.process.pid

    def kill_daemon(self) -> None:
        """`kill -9`, for good; raises `ChildFailed` when it had ended before."""
        _kill(self._running["daemon"])

    @property
    def code_server(self) -> psutil.Process:
        return psutil.Process(self._running["code-server"].process.pid)

    def run_workers(self) -> list[psutil.Process]:
        """Children of the code server, or of the warm parent that the daemon started, which comes before them."""
        daemon = psutil.Process(self._running["daemon"].process.pid)
        return [*self.code_server.children(recursive=True), *daemon.children(recursive=True)]

    def check_running(self) -> None:
        """Raise `ChildFailed` when one of them is gone."""
        for child in self._running.values():
            child.check_running()

    def idle(self) -> bool:
        """Whether every run has ended."""
        with DagsterInstance.get() as instance:
            return not instance.get_runs(RunsFilter(statuses=NOT_FINISHED_STATUSES), limit=1)

    def runs_by_status(self) -> Counter[str]:
        with DagsterInstance.get() as instance:
            return Counter(run.status.value for run in instance.get_runs())

    @property
    def _workspace(self) -> str:
        return str(self._home.dagster / "workspace.yaml")

    def configured(self) -> DagsterInstance:
        """Write Dagster's files, and make its storage: two processes that both create its tables corrupt them."""
        config = (REPOSITORY / "dagster.yaml").read_text()
        (self._home.dagster / "dagster.yaml").write_text(stored_in(self._home.dagster, config))
        server = f"host: {_HOST}, port: {self._code_port}, location_name: {_LOCATION}"
        Path(self._workspace).write_text(f"load_from: [{{grpc_server: {{{server}}}}}]\n")
        return DagsterInstance.from_config(str(self._home.dagster))

    def wait_for_code_server(self) -> None:
        """It listens once the definitions are loaded; a daemon that is earlier looks again only after a minute."""
        server = self._running["code-server"]

        def ready() -> bool:
            server.check_running()
            return listens(self._code_port)

        wait_until(ready, "the code server", _START_SECONDS)

    def _start(self, name: str, module: str, *arguments: str) -> None:
        self._running[name] = self._children.start(
            name, [sys.executable, "-m", module, *arguments], directory=REPOSITORY
        )


def _kill(victim: Child) -> None:
    if not victim.kill():
        victim.check_running()


def stored_in(folder: Path, config: str) -> str:
    """The repository's `dagster.yaml` with its storage in `folder` instead of beside it."""
    if _STORAGE not in config:
        raise ValueError(f"dagster.yaml no longer stores in {_STORAGE}, so the demo would write into the repository")
    return config.replace(_STORAGE, str(folder / "storage"))

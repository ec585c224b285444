"""`make dev`: the Dagster UI on its usual port and one airport that replays its year slowly, until Ctrl-C."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from demo.dagster_processes import DagsterProcesses
from demo.environment import AT_LEISURE, REPOSITORY, Home, UnusableHome, adopt, inherited
from demo.processes import Child, Children, listens
from demo.stack import GATEWAY_PORT
from demo.year import prepare
from timestore_pipeline import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

_AIRPORT = "JFK"
_SECONDS_PER_YEAR = 3_600.0  # 2,000 rows a minute
_LOOK_SECONDS = 1.0


class _Reloadable(DagsterProcesses):
    """Shows new days and columns without a click on Reload."""

    server = ("code-server", "start")


def run(folder: Path, port: int, console: Console) -> None:
    """Serve until interrupted, which is how it should end; raise `UnusableHome` or `ChildFailed`."""
    if listens(port):
        raise UnusableHome(f"port {port} is taken; stop the process there, or choose another with --port")
    home = Home(folder.absolute())
    with home.fresh():
        address = {"TIMESTORE_DAGSTER_WEBSERVER_URL": f"http://127.0.0.1:{port}"}
        adopt(home.variables(AT_LEISURE) | address | _monitored())
        with Timestore(Settings.from_env()) as timestore:
            prepare(timestore)
        with Children(home.logs, inherited()) as children:
            dagster = _Reloadable(children, home, port)
            console.print("starting Dagster: code server, daemon, web server")
            dagster.start()
            producer = _start_producer(children)
            console.print(f"UI: {dagster.ui}   logs: {home.logs}   Ctrl-C ends it", soft_wrap=True)
            with suppress(KeyboardInterrupt):
                _watch(dagster, producer)


def _monitored() -> dict[str, str]:
    """Push, if `make monitoring` is there to push to."""
    return {"TIMESTORE_PUSHGATEWAY_URL": f"http://127.0.0.1:{GATEWAY_PORT}"} if listens(GATEWAY_PORT) else {}


def _start_producer(children: Children) -> Child:
    command = [sys.executable, "-m", "demo", "producer", _AIRPORT, "--seconds", str(_SECONDS_PER_YEAR), "--for-ever"]
    return children.start("producer", command, directory=REPOSITORY)


def _watch(dagster: DagsterProcesses, producer: Child) -> None:
    while True:
        dagster.check_running()
        producer.check_running()
        clock.sleep(_LOOK_SECONDS)

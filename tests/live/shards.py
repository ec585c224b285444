"""Several shards in one Dagster: a code server for each, one daemon, no web server."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pyarrow as pa
import yaml

from demo.dagster_processes import stored_in
from demo.environment import REPOSITORY
from demo.processes import Child, Children, free_port, listens
from demo.waiting import wait_until
from tests.live.holding import HOLDS
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import Flush
from timestore_pipeline.wiring import Timestore

PATIENCE = 240.0  # seconds for any one thing to happen on a busy machine


class Shard:
    """A host: its staging directory, its code server, and the test's own doors to them."""

    def __init__(self, name: str, root: Path, children: Children, variables: Mapping[str, str], opened: ExitStack):
        self.name, self.port, self._children = name, free_port(), children
        self._variables = {"TIMESTORE_HOME": str(root / name), "TIMESTORE_SHARD": name, **variables}
        settings = Settings.build(home=root / name, shard=name)
        self._staging = opened.enter_context(StagingManager.open(settings))
        self._timestore = opened.enter_context(Timestore(settings))
        self._holds = root / name / HOLDS
        self._server: Child | None = None

    def start(self) -> None:
        """Return when its definitions are loaded."""
        exported = [f"{name}={value}" for name, value in self._variables.items()]
        dagster = [sys.executable, "-m", "dagster", "api", "grpc", "-m", "tests.live.holding"]
        address = ["-h", "127.0.0.1", "-p", str(self.port)]
        server = self._children.start(self.name, ["env", *exported, *dagster, *address], directory=REPOSITORY)
        self._server = server

        def ready() -> bool:
            server.check_running()
            return listens(self.port)

        wait_until(ready, f"the code server of {self.name}", PATIENCE)

    def kill(self) -> None:
        """`kill -9` of the code server with all its runs: the host is gone."""
        assert self._server is not None, "a shard is killed after its start"
        server = psutil.Process(self._server.process.pid)
        lost = [server, *server.children(recursive=True)]
        for process in lost:
            process.kill()
        psutil.wait_procs(lost)

    def hold(self, op: str) -> None:
        """From now on runs stop in the middle of the op."""
        self._holds.mkdir(exist_ok=True)
        (self._holds / op).touch()

    def stage(self, dataset: str, rows: pa.Table) -> None:
        self._staging.enqueue(dataset, rows)

    def claimed(self, dataset: str) -> bool:
        return bool(self._timestore.area.ledger.flushes.in_flight(dataset))

    def flushes(self, dataset: str) -> list[Flush]:
        """Newest first."""
        return self._timestore.area.ledger.flushes.history(dataset)


class SharedDagster:
    """The daemon and its storage."""

    def __init__(self, home: Path, children: Children, shards: list[Shard]) -> None:
        self._home, self._children = home, children
        home.mkdir()
        (home / "dagster.yaml").write_text(stored_in(home, (REPOSITORY / "dagster.yaml").read_text()))
        servers = [{"host": "127.0.0.1", "port": shard.port, "location_name": shard.name} for shard in shards]
        workspace = {"load_from": [{"grpc_server": server} for server in servers]}
        (home / "workspace.yaml").write_text(yaml.safe_dump(workspace))
        self.instance = dg.DagsterInstance.from_config(str(home))

    def start(self) -> None:
        command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(self._home / "workspace.yaml")]
        self._children.start("daemon", command, directory=REPOSITORY)

    def at_work(self, shard: str) -> int:
        """How many runs of the shard hold a slot."""
        started = dg.RunsFilter(tags={"timestore/shard": shard}, statuses=[dg.DagsterRunStatus.STARTED])
        return self.instance.get_runs_count(started)


@contextmanager
def silent_store() -> Iterator[dict[str, str]]:
    """A store that accepts connections and answers nothing; the variables that name it."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield {
            "TIMESTORE_LAKE_URI": "s3://bucket/lake",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "nowhere",
        }


def until(done: Callable[[], bool], what: str) -> None:
    wait_until(done, what, PATIENCE)

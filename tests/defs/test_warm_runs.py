"""Runs that are forked from a warm parent, launched as Dagster's daemon launches them, with a real code server."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from dagster._core.launcher.base import WorkerStatus

from demo.launching import Launching, launching
from demo.waiting import wait_until
from tests.defs.flushing import hourly, run_config
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.defs.warm_runs.environment import environment_digest
from timestore_pipeline.defs.warm_runs.launcher import WarmRunLauncher
from timestore_pipeline.defs.warm_runs.worker import WORKER_TAG, Worker
from timestore_pipeline.wiring import Timestore

PATIENCE = 120.0  # seconds for one thing to happen on a busy machine
_LOOK_EVERY = 0.02  # seconds
_CONFIGURATION = """
run_launcher: {module: timestore_pipeline.defs.warm_runs.launcher, class: WarmRunLauncher}
run_monitoring: {enabled: true}
telemetry: {enabled: false}
"""


class Deployment:
    """A staging directory, a Dagster instance with the warm launcher, and a code server that it has loaded."""

    def __init__(self, home: Path, launching: Launching) -> None:
        self.home = home
        self.instance = launching.instance
        self.run = launching.run
        self.settings = Settings.build(home=home)
        self._launching = launching

    @property
    def launcher(self) -> WarmRunLauncher:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        return launcher

    @property
    def parent(self) -> psutil.Process:
        """The warm parent; a child of this process."""
        [parent] = [child for child in psutil.Process().children() if "forking" in " ".join(child.cmdline())]
        return parent

    def launch(self, dataset: str) -> str:
        """Stage three rows and launch the run that flushes them; its id."""
        with StagingManager.open(self.settings) as staging:
            staging.enqueue(dataset, hourly(3))
        return self._launching.launch(run_config(dataset))

    def worker(self, run_id: str) -> Worker:
        return Worker.parse(self.run(run_id).tags[WORKER_TAG])

    def ended(self, run_id: str) -> str:
        wait_until(lambda: self.run(run_id).is_finished, "the run", PATIENCE, pause_seconds=_LOOK_EVERY)
        return self.run(run_id).status.value

    def published_rows(self, dataset: str) -> int:
        with Timestore(self.settings) as store:
            return store.status(dataset).backlog.accepted.rows - store.status(dataset).backlog.queued.rows

    @contextmanager
    def stopped(self, run_id: str) -> Iterator[Worker]:
        """The run's process stands still meanwhile."""
        worker = self.worker(run_id)
        os.kill(worker.pid, signal.SIGSTOP)
        yield worker
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    root = tmp_path_factory.mktemp("warm")
    (root / "dagster.yaml").write_text(_CONFIGURATION)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TIMESTORE_HOME", str(root / "home"))
        with launching(root) as started:
            yield Deployment(root / "home", started)


@pytest.fixture(autouse=True)
def home(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the other tests' home of their own."""
    monkeypatch.setenv("TIMESTORE_HOME", str(deployment.home))
    return deployment.home


def test_runs_are_forked_from_one_parent_and_leave_nothing_behind(deployment: Deployment) -> None:
    assert deployment.ended(deployment.launch("first")) == "SUCCESS"
    parent = deployment.parent
    wait_until(lambda: not parent.children(), "the ends of all runs", PATIENCE)
    descriptors = parent.num_fds()
    for dataset in ("second", "third"):
        run = deployment.launch(dataset)
        assert deployment.ended(run) == "SUCCESS"
        assert deployment.worker(run).is_here
        assert deployment.published_rows(dataset) == 3
        assert "Capturing logs" in "".join(record.message for record in deployment.instance.all_logs(run))
    assert deployment.parent == parent
    wait_until(lambda: not parent.children(), "the ends of all runs", PATIENCE)
    assert parent.num_fds() == descriptors


def test_a_killed_worker_fails_its_run_and_its_batches_stay_staged(deployment: Deployment) -> None:
    run = deployment.launch("killed")
    with deployment.stopped(run) as worker:
        assert deployment.launcher.check_run_worker_health(deployment.run(run)).status is WorkerStatus.RUNNING
        os.kill(worker.pid, signal.SIGKILL)
        assert deployment.ended(run) == "FAILURE"
    assert "signal 9" in deployment.instance.all_logs(run)[-1].message
    assert deployment.launcher.check_run_worker_health(deployment.run(run)).status is WorkerStatus.FAILED
    assert deployment.published_rows("killed") == 0


def test_a_run_can_be_terminated_as_soon_as_it_is_launched(deployment: Deployment) -> None:
    run = deployment.launch("terminated")
    with deployment.stopped(run):
        assert deployment.launcher.terminate(run)
    assert deployment.ended(run) == "CANCELED"
    assert deployment.published_rows("terminated") == 0
    assert not deployment.launcher.terminate(run)


def test_a_run_goes_on_without_its_parent_and_the_next_launch_starts_another(deployment: Deployment) -> None:
    run = deployment.launch("orphan")
    parent = deployment.parent
    with deployment.stopped(run):
        parent.kill()
        parent.wait(PATIENCE)
    assert deployment.ended(run) == "SUCCESS"
    assert deployment.ended(deployment.launch("next")) == "SUCCESS"
    assert deployment.parent != parent


def test_a_run_goes_on_without_its_launcher(deployment: Deployment) -> None:
    run = deployment.launch("alone")
    parent = deployment.parent
    with deployment.stopped(run):
        deployment.launcher.dispose()
        assert not parent.is_running()
    assert deployment.ended(run) == "SUCCESS"


def test_another_environment_is_left_to_the_code_server(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as environment:
        environment.setenv("TIMESTORE_STAGING_FLUSH_MAX_ROWS", "7")
        run = deployment.launch("cold")
        assert WORKER_TAG not in deployment.run(run).tags
        assert deployment.launcher.check_run_worker_health(deployment.run(run)).status is WorkerStatus.RUNNING
        assert deployment.ended(run) == "SUCCESS"


def test_the_digest_is_of_settings_and_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Settings.build(home=tmp_path)
    assert environment_digest(one) == environment_digest(Settings.build(home=tmp_path))
    others = {environment_digest(Settings.build(home=tmp_path, **other)) for other in (
        {"shard": "other"}, {"api_token": "one"}, {"api_token": "two"},
    )}  # fmt: skip
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    assert len(others | {environment_digest(one)}) == 4


def test_a_worker_is_known_by_its_start_too() -> None:
    mine = Worker.of(os.getpid())
    assert Worker.parse(str(mine)) == mine
    assert mine.is_alive()
    reused = Worker(mine.host, mine.pid, "1")
    assert not reused.is_alive()
    assert not reused.interrupt()
    assert not Worker("elsewhere", mine.pid, mine.started).is_here
    assert mine.host == socket.gethostname()

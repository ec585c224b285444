"""A whole deployment in a temporary folder: code server, daemon and web server as three processes, and a producer.

The one way of starting that a test can reach into: the code server offers `tests.live.holding`, which is the product's
own code location with places to stop in. Flush and recovery sensor are stopped until a test starts them, so that each
test says itself what else goes on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import pyarrow as pa
import pytest

from demo.dagster_processes import DagsterProcesses
from demo.environment import Home, Limits
from demo.processes import Children, free_port
from tests.live import scene
from tests.live.graphql import DagsterApi
from tests.live.holding import HOLDS
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import Backlog, Flush, FlushState
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

PATIENCE = 200.0  # seconds for any one thing to happen on a busy machine
LIMITS = Limits(rows=0, age_seconds=1)  # every backlog is due at the next tick
SENSORS = ("staging_flush_sensor", "flush_recovery_sensor")
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
_LOOK_EVERY = 0.05  # seconds
_STATE_IS_WRITTEN = 1.0  # seconds after a tick's end

Seen = TypeVar("Seen")


class _Processes(DagsterProcesses):
    module = "tests.live.holding"
    server = ("code-server", "start")


class LiveInstance:
    """`children` own the processes; `staging` and `timestore` are this process's own doors to the same home."""

    def __init__(self, home: Home, children: Children, staging: StagingManager, timestore: Timestore) -> None:
        self.staging = staging
        self.timestore = timestore
        self._holds = home.root / HOLDS
        self._holds.mkdir(exist_ok=True)
        self._processes = _Processes(children, home, free_port())
        self.url = self._processes.ui
        self.api = DagsterApi(self.url)

    def prepare(self, variables: Mapping[str, str]) -> None:
        """Fill the home before anything is started, with what there is to see."""
        with pytest.MonkeyPatch.context() as environment, self._processes.configured() as instance:
            for name, value in variables.items():
                environment.setenv(name, value)
            scene.prepare(self.staging, self.timestore, instance)

    def start(self) -> None:
        """Return when the definitions are loaded and the sensors are stopped."""
        self._processes.start()
        self.wait_for(lambda: self.api.serves() or None)
        for sensor in SENSORS:
            self.stop(sensor)

    def stop(self, sensor: str) -> None:
        """For good: a tick that ends meanwhile writes the state it has read, and may undo a stop."""

        def stays_stopped() -> bool | None:
            self.api.stop_sensor(sensor)
            clock.sleep(_STATE_IS_WRITTEN)
            return self.api.is_at_rest(sensor) or None

        self.wait_for(stays_stopped)

    def wait_for(self, look: Callable[[], Seen | None], seconds: float = PATIENCE) -> Seen:
        """What `look` returns as soon as it is not None."""
        deadline = clock.monotonic() + seconds
        while (seen := look()) is None:
            self._processes.check_running()
            assert clock.monotonic() < deadline, f"not seen within {seconds:.0f} s"
            clock.sleep(_LOOK_EVERY)
        return seen

    def ended(self, run: str, seconds: float = PATIENCE) -> str:
        """How the run ended."""
        return self.wait_for(lambda: status if (status := self.api.status(run)) in ENDED else None, seconds)

    def stage(self, dataset: str, rows: pa.Table) -> None:
        self.staging.enqueue(dataset, rows)

    def backlog(self, dataset: str) -> Backlog:
        return self.timestore.status(dataset).backlog

    def flushes(self, dataset: str) -> list[Flush]:
        """Newest first."""
        return self.timestore.area.ledger.flushes.history(dataset)

    def published(self, dataset: str, epoch: int) -> Flush:
        """That flush, once it is published."""

        def look() -> Flush | None:
            found = [flush for flush in self.flushes(dataset) if flush.epoch == epoch]
            return found[0] if found and found[0].state is FlushState.PUBLISHED else None

        return self.wait_for(look)

    @contextmanager
    def held(self, op: str) -> Iterator[Callable[[], None]]:
        """Runs stop in the middle of the op; call what is given to wait until one has. They go on at the end."""
        hold = self._holds / op
        reached = hold.with_suffix(".reached")
        hold.touch()
        try:
            yield lambda: self.wait_for(lambda: reached.exists() or None) and None
        finally:
            hold.unlink()
            reached.unlink(missing_ok=True)

    @contextmanager
    def ticking(self, sensor: str) -> Iterator[None]:
        """Meanwhile the daemon evaluates the sensor."""
        assert self.api.start_sensor(sensor) == "RUNNING"
        try:
            yield
        finally:
            self.stop(sensor)

    def kill_worker(self, dataset: str) -> None:
        """`kill -9` of the run's process that flushes the dataset."""
        [flush] = self.timestore.area.ledger.flushes.in_flight(dataset)
        processes = self.timestore.area.ledger.processes.all()
        os.kill(next(process.pid for process in processes if process.process_id == flush.owner), signal.SIGKILL)

    def kill_host(self) -> None:
        """`kill -9` of the code server with all run workers; the process that forked them is killed before them."""
        lost = [self._processes.code_server, *self._processes.run_workers()]
        for process in lost:
            process.kill()
        psutil.wait_procs(lost)

    def start_host(self) -> None:
        """Return when the code server accepts connections again."""
        self._processes.start_code_server()
        self._processes.wait_for_code_server()


@contextmanager
def live_instance(root: Path) -> Iterator[LiveInstance]:
    home = Home(root)
    with home.fresh():
        variables = {**home.variables(LIMITS)}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIMESTORE_")}
        settings = Settings.build(home=root)
        with (
            StagingManager.open(settings) as staging,
            Timestore(settings) as timestore,
            Children(home.logs, environment | variables) as children,
        ):
            live = LiveInstance(home, children, staging, timestore)
            live.prepare(variables)
            with closing(live.api):
                live.start()
                yield live

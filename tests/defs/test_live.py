"""A real daemon, a real code server and real runs, one of which is killed half-way."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import dagster as dg
import pyarrow as pa
import pytest

from demo.processes import Child, Children
from tests.defs.flushing import START, hourly, published
from timestore_pipeline import Settings, StagingManager, clock
from timestore_pipeline.defs.active_runs import requested_datasets
from timestore_pipeline.model.flush import Flush, FlushState, Trigger
from timestore_pipeline.wiring import Timestore

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0  # seconds for any one thing to happen on a busy machine
MANY = 2_000_000  # rows; their export takes long enough to be killed in

Seen = TypeVar("Seen")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def environment(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A project folder with the repository's own Dagster files, started as an operator would."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_AGE_MS", "2000")
    monkeypatch.setenv("TIMESTORE_STAGING_SEAL_TIMEOUT_MS", "5000")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)  # the instance's folders are relative to it
    return dict(os.environ)


@pytest.fixture
def daemon(environment: dict[str, str], tmp_path: Path) -> Iterator[Child]:
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-w", "workspace.yaml"]
    with Children(tmp_path / "logs-of-children", environment) as children:
        yield children.start("daemon", command, directory=tmp_path)


@pytest.fixture
def instance(environment: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as configured:
        yield configured


def wait_for(daemon: Child, look: Callable[[], Seen | None]) -> Seen:
    """What `look` returns as soon as it is not None."""
    deadline = clock.monotonic() + DEADLINE
    while (seen := look()) is None:
        daemon.check_running()
        assert clock.monotonic() < deadline, daemon.log.read_text()[-5_000:]
        clock.sleep(0.005)
    return seen


def test_silence_is_flushed_and_a_killed_run_is_made_good(
    environment: dict[str, str], instance: dg.DagsterInstance, daemon: Child
) -> None:
    settings = Settings.from_env()
    with StagingManager.open(settings) as staging, Timestore(settings) as timestore:
        staging.enqueue("weather", hourly(3))  # and then nothing more: only its age can make it due
        flush = wait_for(daemon, lambda: _published(timestore, "weather"))
        assert (flush.trigger, published(timestore, "weather")) == (Trigger.AGE, [0, 1, 2])
        assert requested_datasets(_run(instance, flush.run_id).run_config) == ["weather"]

        staging.enqueue("flights", _numbered(MANY))
        killed = wait_for(daemon, lambda: _in_flight(timestore, "flights"))
        os.kill(_pid(timestore, killed.owner), signal.SIGKILL)
        again = wait_for(daemon, lambda: _published(timestore, "flights"))
        assert again.run_id != killed.run_id
        assert published(timestore, "flights") == list(range(MANY))
        assert timestore.area.ledger.flushes.history("flights")[-1].state is FlushState.ABORTED

        assert wait_for(daemon, lambda: _ended(instance, killed.run_id)) is dg.DagsterRunStatus.FAILURE
        assert wait_for(daemon, lambda: _ended(instance, again.run_id)) is dg.DagsterRunStatus.SUCCESS


def _numbered(count: int) -> pa.Table:
    """A row every 8 ms."""
    numbers = pa.array(range(count))
    instants = pa.compute.add(pa.compute.multiply(numbers, 7_919), int(START.timestamp() * 1e6))
    return pa.table({"ts": instants.cast(pa.timestamp("us", "UTC")), "n": numbers})


def _published(timestore: Timestore, dataset: str) -> Flush | None:
    history = timestore.area.ledger.flushes.history(dataset, most=1)
    return history[0] if history and history[0].state is FlushState.PUBLISHED else None


def _in_flight(timestore: Timestore, dataset: str) -> Flush | None:
    return next(iter(timestore.area.ledger.flushes.in_flight(dataset)), None)


def _pid(timestore: Timestore, process_id: str) -> int:
    return next(known.pid for known in timestore.area.ledger.processes.all() if known.process_id == process_id)


def _run(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def _ended(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    run = _run(instance, run_id)
    return run.status if run.is_finished else None

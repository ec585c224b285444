"""A process that stages, flushes and pushes, and is killed at a named point of it by its own `kill -9`."""

from __future__ import annotations

import os
import signal

from tests.monitoring.telemetry.conftest import readings
from timestore_pipeline.errors import RetryLater
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.monitoring.telemetry import push
from timestore_pipeline.monitoring.telemetry.push import push_metrics
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

POINTS = ("after the claim", "after the export", "after a failure", "before the push", "after the push")


def main(settings: Settings, point: str) -> None:
    """Ends before it returns."""
    push.DEADLINE = 60.0  # a push that was given up and arrived all the same is in nobody's books
    with Timestore(settings) as store:
        with store.staging() as staging:
            staging.enqueue("weather", readings(10))
        _flush(store, point)
        if point != "before the push":
            push_metrics(store.area, settings)
        _die()


def _flush(store: Timestore, point: str) -> None:
    if point == "after a failure":
        _fail(store)
        return
    ref = store.pipeline.claim("weather", Trigger.AGE, point).ref
    assert ref is not None
    if point == "after the claim":
        return
    store.pipeline.export(ref, store.export_options())
    if point != "after the export":
        store.pipeline.finalize(ref, store.pipeline.publish(ref))


def _fail(store: Timestore) -> None:
    real = LakeTable.write

    def away(*_arguments: object, **_options: object) -> None:
        raise RetryLater("the lake is away")

    LakeTable.write = away  # type: ignore[method-assign, assignment]
    try:
        store.flush("weather", Trigger.ROWS, "failing")
    except RetryLater:
        return
    finally:
        LakeTable.write = real  # type: ignore[method-assign]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

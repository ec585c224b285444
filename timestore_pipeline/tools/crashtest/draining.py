"""Publishes everything that is staged at the end of a test, for as long as flushes make progress."""

from __future__ import annotations

from collections.abc import Iterable

from timestore_pipeline import clock
from timestore_pipeline.errors import RetryLater, TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

PATIENCE = 60.0  # seconds without progress


def drain(timestore: Timestore, datasets: Iterable[str], run_id: str) -> list[str]:
    """Publish everything; returns the problems, empty = everything is published."""
    names = list(datasets)
    problems = [problem for name in names for problem in _empty(timestore, name, run_id)]
    left = {name: queued(timestore, name) for name in names}
    return problems + [
        f"{batches} batches of {name} could not be published" for name, batches in left.items() if batches
    ]


def queued(timestore: Timestore, dataset: str) -> int:
    """Batches that are staged and not published."""
    return timestore.status(dataset).backlog.queued.batches


def flush_once(timestore: Timestore, dataset: str, trigger: Trigger, run_id: str) -> list[str]:
    """One flush; returns its error as a problem, except `RetryLater`: another flush in flight, or a busy store."""
    try:
        timestore.flush(dataset, trigger, run_id)
    except RetryLater:
        clock.sleep(0.1)
    except TimestoreError as error:
        return [f"a flush of {dataset}: {error}"]
    return []


def _empty(timestore: Timestore, dataset: str, run_id: str) -> list[str]:
    """Flush while that makes progress: a long run leaves more than can be published within `PATIENCE`."""
    problems: list[str] = []
    deadline = clock.monotonic() + PATIENCE
    while (left := queued(timestore, dataset)) and clock.monotonic() < deadline:
        problems += flush_once(timestore, dataset, Trigger.MANUAL, run_id)
        if queued(timestore, dataset) < left:
            deadline = clock.monotonic() + PATIENCE
    return problems

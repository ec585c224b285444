"""What victims and the world after them do as producers, and the books they keep beside the product."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.flush.conftest import hourly
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import TimestoreError

BATCHES = 3
_ROWS = 30  # hours of each batch: every batch lies in two partitions
_TRIES = 5

T = TypeVar("T")


def settings(home: Path, **chosen: int) -> Settings:
    return Settings.build(home=home, **chosen)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def produce(home: Path, staging: StagingManager, errors: list[str], numbers: Iterable[int] = range(BATCHES)) -> None:
    """Stage the batches, trying again with the same key; intents are written before, acknowledgements after."""
    for number in numbers:
        note(notes(home, "intents"), number)
        attempt(errors, partial(stage, staging, number))
        note(notes(home, "acks"), number)


def stage(staging: StagingManager, number: int) -> None:
    staging.enqueue("d", hourly(_ROWS, number * _ROWS), idempotency_key=f"batch-{number}")


def rows_of(numbers: set[int]) -> list[int]:
    return sorted(row for number in numbers for row in range(number * _ROWS, (number + 1) * _ROWS))


def notes(home: Path, what: str) -> Path:
    """Beside the home, not in it: a fault must hit the product, not the test's own books."""
    return home.parent / what


def note(path: Path, number: int) -> None:
    with path.open("a") as file:
        file.write(f"{number}\n")


def opened(home: Path, door: Callable[[Settings], T], errors: list[str]) -> T:
    return attempt(errors, lambda: door(settings(home)))


def attempt(errors: list[str], action: Callable[[], T]) -> T:
    """What a caller does with a typed error: try again."""
    for _ in range(_TRIES):
        try:
            return action()
        except TimestoreError as error:
            errors.append(f"{type(error).__name__}: {error}")
    return action()

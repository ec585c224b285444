"""Waiting with a deadline: the demo ends by itself, and reports what did not happen in time."""

from __future__ import annotations

from collections.abc import Callable

from timestore_pipeline.system import clock

PAUSE_SECONDS = 0.25


class TookTooLong(Exception):
    """Something did not happen in time; the message names it."""


def wait_until(done: Callable[[], bool], what: str, seconds: float, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Return once `done()`; raise `TookTooLong` after `seconds`. What `done` raises passes through."""
    deadline = clock.monotonic() + seconds
    while not done():
        if clock.monotonic() > deadline:
            raise TookTooLong(f"waited {seconds:.0f} s for {what}")
        clock.sleep(pause_seconds)

"""Real processes: one that is killed where it stands, and one that is held where it stands."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.forked import Script, script


def run_until_killed(text: str, *arguments: str | Path) -> None:
    """Run a script that ends by killing itself with SIGKILL; anything else is a failure."""
    with script(text, *arguments) as running:
        assert running.wait() == -signal.SIGKILL


def run(text: str, *arguments: str | Path) -> str:
    """Run a script to its end and return what it printed."""
    with script(text, *arguments) as running:
        return running.finish().strip()


@contextmanager
def held(text: str, *arguments: str | Path) -> Iterator[Script]:
    """Run a script up to its `print("ready")`; it then waits in `input()` until the block ends."""
    with script(text, *arguments) as running:
        running.wait_for_line("ready")
        yield running

"""Real processes: one that is killed where it stands, and one that is held where it stands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_until_killed(script: str, *arguments: str | Path) -> None:
    """Run a script that ends by killing itself with SIGKILL; anything else is a failure."""
    done = subprocess.run(_command(script, arguments), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, done.stderr


def run(script: str, *arguments: str | Path) -> str:
    """Run a script to its end and return what it printed."""
    done = subprocess.run(_command(script, arguments), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def held(script: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script up to its `print("ready")`; it then waits in `input()` until the block ends."""
    child = subprocess.Popen(
        _command(script, arguments), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if line.strip() == "ready":
                break
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def _command(script: str, arguments: tuple[str | Path, ...]) -> list[str]:
    return [sys.executable, "-c", script, *map(str, arguments)]

"""Processes that answer HTTP on the loopback: started on a free port, waited for, ended with the test."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from timestore_pipeline.system import clock

_START_UP = 200.0  # seconds, on a machine that is busy with other tests
_PATIENCE = 60.0  # seconds for an answer, or for the end
_LOOK_EVERY = 0.02  # seconds


@contextmanager
def running(command: Sequence[str | Path], url: str, log: Path) -> Iterator[str]:
    """The url, once `<url>/-/ready` answers; fail with the log's end when it does not."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent) as process:
        try:
            _wait_until_ready(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def get(url: str) -> str:
    """The body of a page; raises `OSError` when there is none."""
    with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:
        return str(answer.read().decode())


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = clock.monotonic() + _START_UP
    while process.poll() is None and clock.monotonic() < deadline:
        try:
            get(f"{url}/-/ready")
        except OSError:
            clock.sleep(_LOOK_EVERY)
        else:
            return
    raise AssertionError(f"{url} is not ready, exit code {process.poll()}: {log.read_text()[-2000:]}")

"""A real Pushgateway for tests: Debian's `prometheus-pushgateway` on a free port of the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.processes import free_port
from tests.services.require import require_command
from tests.services.web import running


@pytest.fixture
def pushgateway(tmp_path: Path) -> Iterator[str]:
    """The url of an empty Pushgateway."""
    with serving(tmp_path) as url:
        yield url


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Start one that logs into `folder` and keeps nothing; skip or fail when there is no binary."""
    command = require_command("prometheus-pushgateway", remedy="apt-get install prometheus-pushgateway")
    address = f"127.0.0.1:{free_port()}"
    options = [f"--web.listen-address={address}", "--persistence.file="]  # Debian's default is a file of the system's
    with running([command, *options], f"http://{address}", folder / "pushgateway.log") as url:
        yield url

"""A real PostgreSQL for tests, Debian's or the one on the PATH, on a free port of loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.postgresql import server, version
from benchmarks.processes import Failed
from tests.services.require import require


@contextmanager
def serving() -> Iterator[str]:
    """The address of an empty server, for user postgres without a password; skip or fail when there is no binary."""
    try:
        version()
    except Failed as missing:
        require("PostgreSQL", available=False, remedy=str(missing))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server may have a user of its own
        with server(Path(folder, "postgresql")) as url:
            yield url

"""Every process of a crash test has the test's directory on its command line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def running(home: Path) -> list[int]:
    """Ids of the processes of the test in `home`, zombies not among them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(home).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found

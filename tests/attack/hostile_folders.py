"""Folders as someone leaves them who wants to harm: nested without end, or replaced by links at the worst moment."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE


def _nest(folder: Path, name: str, times: int, file: str) -> None:
    """Folders of one name in each other, with a file of one row in the innermost; no path reaches that far."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(times):
        os.mkdir(name, dir_fd=here)
        here, above = os.open(name, os.O_RDONLY, dir_fd=here), here
        os.close(above)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, dir_fd=here), "w") as written:
        written.write("n\n1\n")
    os.close(here)


@contextmanager
def nested(folder: Path, times: int, name: str = "d") -> Iterator[None]:
    """So many folders in each other; gone afterwards, since Python removes none that deep."""
    folder.mkdir(parents=True)
    _nest(folder, name, times, "a.csv")
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


@contextmanager
def swapping(place: Path, target: Path) -> Iterator[None]:
    """While the block runs `place` is a folder and a link to `target` in turns, as fast as the system can rename."""
    link = place.with_name(f".{place.name}")
    link.symlink_to(target)
    rename = ctypes.CDLL(None).renameat2
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            rename(_HERE, os.fsencode(place), _HERE, os.fsencode(link), _EXCHANGE)

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        yield
    finally:
        stop.set()
        attacker.join()
        if place.is_symlink():
            rename(_HERE, os.fsencode(place), _HERE, os.fsencode(link), _EXCHANGE)

"""A filesystem that is really full soon: a tmpfs of a few megabytes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services.require import require, require_command


@contextmanager
def mounted(folder: Path, megabytes: int, inodes: int = 0) -> Iterator[Path]:
    """Mount one at `folder`, which is made; skip for an ordinary user, and fail in CI where root may not either.

    inodes: the most files and folders; 0 = any number.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small filesystem")
    mount = require_command("mount", remedy="run on Linux")
    folder.mkdir()
    command = [str(mount), "-t", "tmpfs", "-o", f"size={megabytes}m,nr_inodes={inodes}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    require("a mounted tmpfs", available=done.returncode == 0, remedy=f"run as root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Write a file until nothing is left; unlink it to make room."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while os.write(file.fileno(), b"\0" * 65536):
                continue
        except OSError:
            pass
    return filler

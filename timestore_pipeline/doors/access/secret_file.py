"""Reads a file that decides who may do what: only its owner may change it, and no other user may read it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from timestore_pipeline.errors import ServerFileRefused

_MOST_BYTES = 1 << 20
_REFUSED = stat.S_IRWXO | stat.S_IWGRP  # the group may read it: that is how Kubernetes mounts secrets


def read_secret_file(path: Path, what: str) -> str:
    """what: begins each message. Bytes that are not UTF-8 are replaced. Raises `ServerFileRefused` with the remedy.

    The descriptor is checked, not the name: the file may be replaced in between.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            _check(os.fstat(file.fileno()), path, what)
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        hint = f"give the user {os.geteuid()}, who runs the server, a file that it may read"
        raise ServerFileRefused(f"{what}: {error.strerror}", hint=hint) from error
    if len(content) > _MOST_BYTES:
        raise ServerFileRefused(f"{what} is longer than {_MOST_BYTES} bytes", hint="is this the right file?")
    return content.decode("utf-8", "replace")


def _check(status: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ServerFileRefused(f"{what} is no file", hint="name a file")
    if status.st_uid not in (0, os.geteuid()):
        seen = f"{what} belongs to the user {status.st_uid}, who could change it"
        raise ServerFileRefused(seen, hint=f"chown {os.geteuid()} {path}")
    if status.st_mode & _REFUSED:
        mode = stat.S_IMODE(status.st_mode)
        seen = f"{what} has mode {mode:04o}: other users may read it, or its group may change it"
        raise ServerFileRefused(seen, hint=f"chmod 600 {path}")

"""Files that a running server reads again when they change, and that decide who may do what.

Only its owner may change such a file, and no other user may read it. A new version takes effect as a whole. One that is
refused leaves the last good version in force, is logged once, and is visible as `refusal`. A file that is being written
is left alone: a change is read once it has rested for a second.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from timestore_pipeline.errors import ServerFileRefused, TimestoreError
from timestore_pipeline.system.legible import LogEvent

T = TypeVar("T")
Stamp = tuple[int, ...]

_log = logging.getLogger(__name__)

PERIOD = 1.0  # seconds between two looks at the files
_MOST_BYTES = 1 << 20
_REFUSED = stat.S_IRWXO | stat.S_IWGRP  # the group may read it: that is how Kubernetes mounts secrets


class Reloaded(Generic[T]):
    """What some files hold. `value` is replaced in one step, by another thread."""

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        """what: a label of logs and metrics. read: raises a `TimestoreError` for files that are refused."""
        self.what = what
        self.refusal: TimestoreError | None = None  # of the files as they are now; None = `value` is what they hold
        self._paths, self._read = paths, read
        self._seen = self._tried = self._stamps()  # before reading: a later change is noticed
        self.value = read()

    def refresh(self) -> None:
        """To be called periodically; never raises a `TimestoreError`."""
        before, self._seen = self._seen, self._stamps()
        if self._seen == before != self._tried:
            self._tried = self._seen
            self._reload()

    def _reload(self) -> None:
        files = ", ".join(str(path) for path in self._paths)
        try:
            self.value = self._read()
        except TimestoreError as error:
            self.refusal = error
            event = "changed files refused, the last good ones stay in force"
            _log.error("%s", LogEvent(event, files=files, error=str(error), code=error.code, hint=error.hint))
        else:
            self.refusal = None
            _log.info("%s", LogEvent("changed files in force", files=files))

    def _stamps(self) -> tuple[Stamp, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> Stamp:
    """Changes with the content, the owner and the mode; links are followed, as Kubernetes' secrets need it."""
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    rights = status.st_mode, status.st_uid  # in the same tick of the system's clock they may change twice
    return status.st_dev, status.st_ino, *rights, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def refreshing(files: Sequence[Reloaded[Any]]) -> Iterator[None]:
    """Refresh the files every `PERIOD`, in a thread: a filesystem that hangs must not stop the event loop."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(PERIOD):
            for file in files:
                file.refresh()

    thread = threading.Thread(target=watch, name="timestore-files", daemon=True)
    if files:
        thread.start()
    try:
        yield
    finally:
        over.set()


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

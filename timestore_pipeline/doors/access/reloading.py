"""Files that a running server reads again when they change.

A new version takes effect as a whole. One that is refused leaves the last good version in force, is logged once, and
is visible as `refusal`. A file that is being written is left alone: a change is read once it has rested for a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.system.legible import LogEvent

T = TypeVar("T")
Stamp = tuple[int, ...]

_log = logging.getLogger(__name__)

PERIOD = 1.0  # seconds between two looks at the files


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
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


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

"""What becomes of a command whose answer cannot be written: its reader is gone, or a file it goes to has no room.

What the command did is done. A closed pipe needs no word: `timestore ... | head` is how people look at a beginning.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from timestore_pipeline.cli.output import FAILED, print_note


class BrokenStdout(OSError):
    """Standard output takes no more; any other `OSError` is a bug, and shows."""


@contextmanager
def exiting_when_stdout_breaks() -> Iterator[None]:
    """For a whole process: exit with `FAILED`, and a line on standard error, when standard output takes no more."""
    _open_closed()
    answer = sys.stdout  # held on to: what nobody holds is closed
    sys.stdout = _told_apart(answer)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, and not when Python has ended and can only print a traceback
    except BrokenStdout as error:
        _silence(answer.fileno())
        if error.errno != errno.EPIPE:
            with suppress(OSError):  # the same file, perhaps
                print_note(f"error: standard output cannot be written: {error.strerror}", "red")
        raise SystemExit(FAILED) from error


class _Output(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise BrokenStdout(error.errno, error.strerror) from error


def _told_apart(stream: Any) -> io.TextIOWrapper:
    """The same stream, of which an error says that it is its own."""
    raw = _Output(stream.fileno(), "w", closefd=False)
    at_once = stream.line_buffering or stream.write_through  # a terminal, or PYTHONUNBUFFERED
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding=stream.encoding, errors=stream.errors, line_buffering=at_once)


def _open_closed() -> None:
    """A standard stream that the caller has closed is None."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # for as long as the process lives


def _silence(descriptor: int) -> None:
    """Python flushes once more when it ends; what is in the buffer goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)

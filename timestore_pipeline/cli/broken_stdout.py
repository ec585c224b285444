"""Ends a command whose output cannot be written, because its reader is gone or the output file has no room.

The command's work is complete by then. A closed pipe is not reported: `timestore ... | head` is ordinary use.
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
    """Standard output cannot be written; any other `OSError` is a bug, and shows."""


@contextmanager
def exiting_when_stdout_breaks() -> Iterator[None]:
    """For a whole process: exit with `FAILED`, and a line on standard error, when standard output cannot be written."""
    _open_closed()
    answer = sys.stdout  # keeps a reference: without one, the stream would be closed
    sys.stdout = _raising_broken_stdout(answer)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, not at Python's exit, which could only print a traceback
    except BrokenStdout as error:
        _silence(answer.fileno())
        if error.errno != errno.EPIPE:
            with suppress(OSError):  # standard error may be the same file
                print_note(f"error: standard output cannot be written: {error.strerror}", "red")
        raise SystemExit(FAILED) from error


class _Output(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise BrokenStdout(error.errno, error.strerror) from error


def _raising_broken_stdout(stream: Any) -> io.TextIOWrapper:
    """The same stream, whose errors are `BrokenStdout`."""
    raw = _Output(stream.fileno(), "w", closefd=False)
    at_once = stream.line_buffering or stream.write_through  # a terminal, or PYTHONUNBUFFERED
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding=stream.encoding, errors=stream.errors, line_buffering=at_once)


def _open_closed() -> None:
    """Replace standard streams that the caller has closed, which are None."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # for as long as the process lives


def _silence(descriptor: int) -> None:
    """Discard the rest of the buffer, which Python flushes once more at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)

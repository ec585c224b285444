"""Reads a Parquet or Arrow file on trial, in a process that may die of it, before this process reads it.

A few hundred bytes of such a file may ask for any amount of memory, run for ever or crash the library. The trial
decodes all of it within bounds of memory and time and measures each batch in the types in which rows are kept, so that
reading it again takes no more. Text is not tried: it is read in blocks of a few megabytes and says what it is long.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.formats.bounded import limit_resources
from timestore_pipeline.ingest.formats.expansion import plain_bytes
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.settings import harmless_environment
from timestore_pipeline.system import clock, unprivileged
from timestore_pipeline.system.context_managers import Closing
from timestore_pipeline.system.without_pandas import leave_pandas_out

BATCH_ROWS = 10_000  # of a file that is staged whole, at most
MOST_MEMORY = 1 << 30  # bytes of the trying process
MOST_AT_ONCE = 256 << 20  # bytes of one batch, decoded
MOST_TIMES = 1_000  # larger than the file its rows may be; sensors' values shrink to a fiftieth
HARMLESS = 1 << 30  # bytes of all rows; below this the ratio says nothing
PATIENCE = 120.0  # seconds, and one more per `SLOWEST`
SLOWEST = 256 << 10  # bytes of a file that are read in a second, at least

_TRIED = (".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows")
_LONGEST_SUFFIX = 16  # bytes
_LARGE = 16 << 20  # bytes of a file after which the process ends: its memory is needed for the reading
_LOOK = 0.5  # seconds between two looks whether to go on
_HINT = "write it with fewer rows in a batch or row group, and without dictionaries of long values"


class Trial(Closing):
    """One process at a time, started when it is first needed; after a death another one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._files: socket.socket | None = None  # to the process, which gets each file as a descriptor
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # where the process names it

    def check(self, path: Path, go_on: Callable[[], None]) -> None:
        """Raise `InvalidData` for a file that must not be read here. Other problems are for its reader to report.

        go_on: called while the trial lasts; raises when the caller is to stop.
        """
        if path.suffix.lower() not in _TRIED:
            return
        try:
            answer = self._ask(path, go_on)
        except BaseException:
            self.close()
            raise
        if path.stat().st_size >= _LARGE:
            self.close()
        if answer != "":
            raise InvalidData(f"{path} {answer}", hint=_HINT)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert self._files is not None
        assert self._folder is not None
        self._files.close()
        process.kill()
        process.communicate()
        self._folder.cleanup()

    def _ask(self, path: Path, go_on: Callable[[], None]) -> str:
        process, files = self._running()
        assert process.stdout is not None
        until = clock.monotonic() + PATIENCE + path.stat().st_size / SLOWEST
        try:
            with path.open("rb") as file:
                socket.send_fds(files, [path.suffix.encode()], [file.fileno()])
        except (BrokenPipeError, ConnectionResetError):  # it died between two files
            self.close()
            return self._ask(path, go_on)
        while not select.select([process.stdout], [], [], _LOOK)[0]:
            go_on()
            if clock.monotonic() > until:
                self.close()
                return f"takes longer to read than {PATIENCE:.0f} s and a second per {SLOWEST} bytes"
        return self._answer(process.stdout)

    def _answer(self, answers: IO[str]) -> str:
        line = answers.readline()
        if line.endswith("\n"):
            return str(json.loads(line))
        self.close()
        return "ends the process that reads it"

    def _running(self) -> tuple[subprocess.Popen[str], socket.socket]:
        if self._process is None or self._files is None or self._process.poll() is not None:
            self.close()
            self._folder = tempfile.TemporaryDirectory(prefix="timestore-")
            self._files, its_files = socket.socketpair()
            with its_files:
                self._process = subprocess.Popen(
                    unprivileged.command(__name__, self._folder.name),
                    stdin=its_files.fileno(),
                    stdout=subprocess.PIPE,
                    text=True,
                    env=harmless_environment(),
                    start_new_session=True,  # Ctrl-C in a terminal is for us, who then end it
                )
        return self._process, self._files


def main() -> None:
    """Answer each file with what is against reading it, empty = nothing, until standard input ends.

    Argument: a folder in which the file gets a name, because its reader accepts only names. By its descriptor it is the
    file that was opened, and it may be opened although the process may not look into its parent's.
    """
    leave_pandas_out()
    limit_resources(MOST_MEMORY, file_bytes=0)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as files:
        while (asked := socket.recv_fds(files, _LONGEST_SUFFIX, 1))[0]:
            suffix, [descriptor] = asked[0].decode(), asked[1]
            link = Path(sys.argv[1]) / f"file{suffix}"
            link.unlink(missing_ok=True)
            link.symlink_to(f"/dev/fd/{descriptor}")
            sys.stdout.write(json.dumps(_tried(link)) + "\n")
            sys.stdout.flush()
            os.close(descriptor)


def _tried(path: Path) -> str:
    try:
        return _measured(path)
    except Exception as error:  # noqa: BLE001  # any other error its reader meets too, and explains better
        cause = error.__cause__ or error
        if isinstance(cause, MemoryError):
            return f"takes more than {MOST_MEMORY} bytes of memory to read"
        return "may not be opened by the process that tries it" if isinstance(cause, PermissionError) else ""


def _measured(path: Path) -> str:
    source, total = open_source(path), 0
    most = max(HARMLESS, MOST_TIMES * path.stat().st_size)
    for first, table in source.batches(BATCH_ROWS):
        size = plain_bytes(table)
        total += size
        if size > MOST_AT_ONCE:
            return f"holds {table.num_rows} rows from row {first} on that take {size} bytes once they are decoded"
        if total > most:
            return f"unpacks to more than {MOST_TIMES} times its size: {total} bytes by row {first}"
    return ""

"""Processes forked from one warm parent that has imported everything and opened nothing; a new Python costs a second.

The parent is one for all tests of a worker, and what it has imported is settled by whoever starts the first process: so
it is named here, once. A forked process ends without its `atexit` functions; a test of those needs a new Python.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO, cast

from timestore_pipeline.system import clock

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "pytest",
        "tests.crash.victims",
        "tests.flush.dying_aside",
        "tests.flush.stopping",
        "tests.doors.http.serving",
        "tests.ingest.batches",
        "tests.recovery.rebuild.dying",
        "tests.services.warm",
        "tests.staging.other_user",
        "tests.staging.rows",
        "tests.monitoring.telemetry.flushing_and_dying",
    ]
)

_PATIENCE = 120  # seconds for a process that should take one
_LOOK_EVERY = 0.01  # seconds
_STATUS_LOST = 255  # as `multiprocessing` has it


class Forked:
    """A function of a module in a process of its own."""

    def __init__(self, target: Callable[..., object], *arguments: Any) -> None:
        self._ended, told = FORKED.Pipe(duplex=False)
        self._process = FORKED.Process(target=_run, args=(target, arguments, told))
        self._process.start()
        told.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.exitcode is None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Return when it is gone."""
        self._process.kill()
        self.wait()

    def wait(self) -> int:
        """Its exit code; a negative one is the signal that ended it."""
        self._process.join(_PATIENCE)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"{self._process} hangs")
        # Rarely the parent cannot say how a child ended; one that was not killed has told its end.
        lost = self._process.exitcode == _STATUS_LOST
        return (0 if self._was_told() else -signal.SIGKILL) if lost else self._process.exitcode

    def _was_told(self) -> bool:
        """An end that is told is there to be read; a killed process closed its side without a word."""
        try:
            return self._ended.poll() and self._ended.recv() is None
        except EOFError:
            return False


def _run(target: Callable[..., object], arguments: Sequence[Any], told: Connection) -> None:
    target(*arguments)
    told.send(None)


def run_forked(target: Callable[..., object], *arguments: Any) -> int:
    """Run it to its end; the exit code, a negative one is the signal that ended it."""
    return Forked(target, *arguments).wait()


class Script(Forked):
    """A program text in a process of its own, with pipes to its standard input and output."""

    def __init__(self, text: str, *arguments: str) -> None:
        its_input, to_input = FORKED.Pipe(duplex=False)
        from_output, its_output = FORKED.Pipe(duplex=False)
        super().__init__(_execute, text, arguments, its_input, its_output)
        its_input.close()
        its_output.close()
        self.stdin = as_file(to_input, "w")
        self.stdout = as_file(from_output, "r")

    def tell(self, line: str) -> None:
        self.stdin.write(line + "\n")
        self.stdin.flush()

    def wait_for_line(self, line: str) -> None:
        assert self.stdout.readline() == line + "\n"

    def wait_until_stopped(self) -> None:
        """By its own SIGSTOP: a SIGCONT that came before it would be lost."""
        status = Path(f"/proc/{self.pid}/stat")
        while (state := status.read_text().rsplit(")", 1)[1].split()[0]) != "T":
            assert state != "Z", "it ended instead"
            clock.sleep(_LOOK_EVERY)

    def finish(self) -> str:
        """Close its input and wait for its end; what it had yet to say. Fails when that is not an end in peace."""
        self.stdin.close()
        said = self.stdout.read()
        assert self.wait() == 0, said
        return said

    def close(self) -> None:
        self.kill()
        self.stdin.close()
        self.stdout.close()


@contextmanager
def script(text: str, *arguments: object) -> Iterator[Script]:
    """Runs for as long as the block, and may be killed and awaited in it."""
    with closing(Script(text, *map(str, arguments))) as running:
        yield running


def as_file(connection: Connection, mode: str) -> TextIO:
    """One end of a pipe, for text; it takes the connection's place."""
    with connection:
        return cast("TextIO", os.fdopen(os.dup(connection.fileno()), mode))


def _execute(text: str, arguments: Sequence[str], its_input: Connection, its_output: Connection) -> None:
    os.dup2(its_input.fileno(), 0)
    os.dup2(its_output.fileno(), 1)
    its_input.close()
    its_output.close()
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.argv = ["-c", *arguments]
    exec(compile(text, "<script>", "exec"), {"__name__": "__main__"})
    sys.stdout.flush()

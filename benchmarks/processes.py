"""Child processes that never outlive the benchmark, and the benchmark's end of a worker's pipe.

Each has a session of its own, so that its own children end with it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent

_GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL
_PATIENCE_SECONDS = 1_800.0  # for one answer; on two idle cores the longest takes two minutes
_LOG_LINES, _LOG_CHARACTERS = 3, 400  # of a log, in a failure's message


class Failed(Exception):
    """A child process did not do what it was started for; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Command:
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)  # beside the benchmark's own


def python(module: str, *arguments: object, interpreter: str = sys.executable, first: Path = ROOT) -> Command:
    """A module of the benchmark or of the product. `first` is searched for packages before the benchmark's folder."""
    path = os.pathsep.join(dict.fromkeys((str(first), str(ROOT))))
    return Command((interpreter, "-m", module, *map(str, arguments)), {"PYTHONPATH": path})


@contextmanager
def running(command: Command, log: Path) -> Iterator[subprocess.Popen[str]]:
    """With pipes for standard input and output, standard error in `log`; ended on leaving the `with` block."""
    log.parent.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIMESTORE_")}
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command.arguments,
            cwd=log.parent,  # a folder without packages: only PYTHONPATH says what is imported
            env=inherited | dict(command.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def run(command: Command, log: Path) -> str:
    """Its standard output; raises `Failed` unless it ends well."""
    with running(command, log) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise Failed(_last_lines(log, f"{command.arguments[0]} ended with {process.returncode}"))
    return output


def first_line(process: subprocess.Popen[str], log: Path) -> str:
    """The next line of its standard output; raises `Failed` if there is none for long, or if it ends."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], _PATIENCE_SECONDS)
    line = process.stdout.readline() if readable else ""
    if not line:
        process.kill()  # or a late answer would be taken for that of the next request
        raise Failed(_last_lines(log, "it ended" if readable else f"no answer in {_PATIENCE_SECONDS:.0f} s"))
    return line


class Worker:
    """Answers one request at a time."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def send(self, way: str, **request: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"way": way} | request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise Failed(_last_lines(self._log, "it ended")) from error

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()

    def answered(self) -> bool:
        """Whether `receive` would return, or raise, at once."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], 0)
        return bool(readable)

    def receive(self) -> Any:
        line = first_line(self._process, self._log)
        try:
            return json.loads(line)
        except json.JSONDecodeError as error:
            raise Failed(f"no answer, but {line[:_LOG_CHARACTERS]!r}") from error

    def ask(self, way: str, **request: object) -> Any:
        """Raises `Failed`."""
        self.send(way, **request)
        return self.receive()


@contextmanager
def worker(command: Command, log: Path) -> Iterator[Worker]:
    with running(command, log) as process:
        yield Worker(process, log)
        _close(process.stdin)
        _gone(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Ask it to end, or kill it; then kill its children."""
    process.terminate()
    _gone(process)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _close(process.stdin)
    _close(process.stdout)


def _close(pipe: IO[str] | None) -> None:
    assert pipe is not None
    with suppress(BrokenPipeError):  # of a process that has ended before it read everything
        pipe.close()


def _gone(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _last_lines(log: Path, what: str) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"{what}: {' / '.join(lines[-_LOG_LINES:])[-_LOG_CHARACTERS:]}" if lines else what

"""The demo's child processes, each in a session of its own; all of them end when the demo ends, however it ends.

With sessions of their own, Ctrl-C reaches only the demo, which then stops its children in order; and the demo finds
every process that a child has started, even after that child was killed.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_KILLED_SECONDS = 60.0  # until a killed process is gone: it goes at once, unless the machine is busy

# Below the system's ephemeral ports, which it also gives to the client end of every connection: such a port may be
# taken between choosing it and listening, and a connection to it, if no process listens, may connect to itself.
_FIRST_PORT, _PORTS = 10_000, 22_000
_PORTS_OF_A_PROCESS = 127  # before it chooses from the next one's
_chosen = itertools.count()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let interruptions wait: one right after a fork would lose the child, one during the stop would leave the rest."""
    came: list[signal.Signals] = []
    handlers = [
        (number, signal.signal(number, lambda which, _: came.append(signal.Signals(which)))) for number in INTERRUPTIONS
    ]
    try:
        yield
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
        if came:
            signal.raise_signal(signal.Signals(came[0]))


class ChildFailed(Exception):
    """A child ended with an error; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    log: Path  # standard output and error, appended to across restarts
    process: subprocess.Popen[bytes]

    def check_running(self) -> None:
        """Raise `ChildFailed` if a process that should serve for ever is gone."""
        if self.process.poll() is not None:
            raise ChildFailed(f"{self.name} ended with {self.process.returncode}\n{self._last_lines()}")

    def finished(self) -> bool:
        """Whether it ended well; raises `ChildFailed` if it ended badly."""
        if self.process.poll():
            self.check_running()
        return self.process.returncode == 0

    def kill(self) -> bool:
        """`kill -9` of this one process, not of what it started; False when it had ended before."""
        self.process.kill()
        return self.process.wait() == -signal.SIGKILL

    def _last_lines(self, count: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


class Children:
    """Starts processes and stops them, with all that they have started, on leaving the `with` block."""

    def __init__(self, folder: Path, environment: Mapping[str, str], grace_seconds: float = 5.0) -> None:
        self._folder = folder  # where the logs go
        self._environment = dict(environment)
        self._grace_seconds = grace_seconds  # from SIGTERM to SIGKILL
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str], *, directory: Path | None = None) -> Child:
        """Run `command` in a new session with its output in `<folder>/<name>.log`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"{name}.log"
        with log.open("ab") as output, uninterrupted():
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._children.append(Child(name, log, process))
        return self._children[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            _, stubborn = _end(self._everyone(), psutil.Process.terminate, self._grace_seconds)
            _end([*stubborn, *self._everyone()], psutil.Process.kill, _KILLED_SECONDS)
            for child in self._children:
                child.process.wait()

    def _everyone(self) -> list[psutil.Process]:
        sessions = {child.process.pid for child in self._children}
        return [process for process in psutil.process_iter() if _session_of(process) in sessions]


def free_port() -> int:
    """A free port on loopback that no other process of the demo is about to choose."""
    while True:
        port = _FIRST_PORT + (os.getpid() * _PORTS_OF_A_PROCESS + next(_chosen)) % _PORTS
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Whether a process listens on that port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:  # it ended while we were listing
        return None


def _end(
    processes: Sequence[psutil.Process], how: Callable[[psutil.Process], None], within: float
) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """The processes that were gone after `within` seconds, and the others."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            how(process)
    gone, left = psutil.wait_procs(processes, within)
    return gone, left

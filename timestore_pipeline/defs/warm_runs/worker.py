"""The process of one run, as the run's tag names it: alive, or gone. Any process of its host can find that out.

A process id alone is not enough, the system uses it again; with the time of its start it is unique on a host.
"""

import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

WORKER_TAG = ".dagster/timestore_worker"  # Dagster's UI hides tags with this prefix

_STARTED = 19  # field of /proc/<pid>/stat after the command's name, counted from 0: start time in clock ticks


@dataclass(frozen=True, slots=True)
class Worker:
    """One process."""

    host: str
    pid: int
    started: str  # clock ticks after the system's start

    @classmethod
    def of(cls, pid: int) -> Self:
        """A process of this host; raises `OSError` when it is gone."""
        return cls(socket.gethostname(), pid, _started(pid))

    @classmethod
    def parse(cls, tag: str) -> Self:
        host, pid, started = tag.rsplit(":", 2)
        return cls(host, int(pid), started)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started}"

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Meaningful on its own host only."""
        with suppress(OSError):
            return _started(self.pid) == self.started
        return False

    def interrupt(self) -> bool:
        """Ask it to stop, as a termination by the code server does; False = it is gone."""
        with suppress(OSError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.is_alive():  # after the descriptor was opened: from here on it names this process or none
                    signal.pidfd_send_signal(descriptor, signal.SIGINT)
                    return True
            finally:
                os.close(descriptor)
        return False


def _started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_STARTED]

"""How much memory, disk and processor time a process that reads what strangers wrote may take.

More memory is a `MemoryError`, more time a `CpuExceeded`, in that process only. Where a library does not come back from
a call, the system ends the process.
"""

from __future__ import annotations

import math
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

_MOST_FILES = 64  # open at once; a reader has its pipes, a body, its rows, and a few of its libraries


class CpuExceeded(BaseException):
    """Not an `Exception`: what is being read cannot catch it on the way."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise `CpuExceeded` in the main thread once the block has used so much; SIGXCPU comes a second or two later."""
    signal.signal(signal.SIGPROF, _raise)
    most = math.ceil(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _raise(_number: int, _frame: object) -> None:
    raise CpuExceeded


def limit_resources(memory: int, file_bytes: int) -> None:
    """Bound what is allocated from now on; what Arrow reserves with its first value is none of it.

    file_bytes: of a file that the process writes; beyond it a write raises `OSError`.
    """
    pa.array([0])
    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(1)  # the process it works for needs the other cores
    pa.set_io_thread_count(1)
    bounds = {
        resource.RLIMIT_DATA: _allocated() + memory,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: _MOST_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in bounds.items():
        resource.setrlimit(kind, (most, most))


def _allocated() -> int:
    """Bytes that count towards the limit; 0 where the system does not say, and does not enforce it either."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except OSError:
        return 0

"""How much memory a process that reads what strangers wrote may take; more is a `MemoryError`, in that process only."""

from __future__ import annotations

import resource
from pathlib import Path

import pyarrow as pa


def limit_memory(most: int) -> None:
    """Bound what is allocated from now on; what Arrow reserves with its first value is none of it."""
    pa.array([0])
    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(1)  # the process it works for needs the other cores
    pa.set_io_thread_count(1)
    bound = _allocated() + most
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _allocated() -> int:
    """Bytes that count towards the limit; 0 where the system does not say, and does not hold anybody to it either."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except OSError:
        return 0

"""The peak memory of a process."""

from __future__ import annotations

from pathlib import Path


def peak_mb() -> float:
    """Of this process since it began, in MB. The kernel's `ru_maxrss` would include the parent's at the fork."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1_024 / 1e6

"""A lock on a file, which the kernel releases when its process ends.

It only saves work and gives an operator a clear error; exactly-once staging does not depend on it. On a filesystem
without locks, every lock is granted.
"""

from __future__ import annotations

import fcntl


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; False = another process holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True

"""Whether somebody else works on a file: a lock that the kernel drops with its process.

Only to spare work and to tell an operator; what must never happen twice does not rest on it. A filesystem without locks
is one on which nobody is ever at work.
"""

from __future__ import annotations

import fcntl


def lock(descriptor: int) -> bool:
    """Hold an open file until it is closed; False = somebody else does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True

"""Starts a module that parses untrusted data, with fewer rights: `python -m timestore_pipeline.system.unprivileged M`.

The process, and every program that it might start, can gain no rights again, for example through a setuid program, and
it has no network where the system gives an unprivileged process a network namespace. It imports nothing else before: a
process with threads, which pyarrow starts, cannot enter a user namespace.

In a user namespace of its own it cannot look into other processes of the same user either, whose environment and memory
hold secrets. Root keeps to its user namespace, because it would lose the right to read other users' files.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib import import_module

_PR_SET_NO_NEW_PRIVS = 38  # of <linux/prctl.h>
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # of <linux/sched.h>


def command(module: str, *arguments: str) -> list[str]:
    """Starts `module`, whose `main` reads `arguments` from `sys.argv`."""
    return [sys.executable, "-m", __spec__.name, module, *arguments]


def _give_up_rights() -> None:
    """Raises `OSError` where Linux refuses the first; it has granted that since version 3.5."""
    if sys.platform != "linux":
        return
    system = ctypes.CDLL(None, use_errno=True)
    if system.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    system.unshare(_CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET)  # fails where it is denied


if __name__ == "__main__":
    _give_up_rights()
    del sys.argv[0]
    import_module(sys.argv[0]).main()

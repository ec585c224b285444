"""Processes that are killed at a named step, by their own `kill -9`."""

from __future__ import annotations

import os
import signal
from typing import Any


def die(*_arguments: Any, **_options: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(owner: Any, step: str, moment: str) -> None:
    """From now on this process dies before or after the owner's function."""
    real = getattr(owner, step)

    def then_die(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        die()

    setattr(owner, step, die if moment == "before" else then_die)

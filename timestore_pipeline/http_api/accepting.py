"""When a process may open no more files, new connections wait, and the log says so once.

asyncio stops accepting for a second then, and reports every connection that waits with a traceback of its own.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from timestore_pipeline import clock

_log = logging.getLogger(__name__)

_SIGN = "socket.accept() out of system resource"  # asyncio's message
_QUIET_SECONDS = 60.0  # between two lines about the same


class AcceptFailures:
    """The event loop's handler of exceptions that have no caller; all others are left to the loop's own."""

    def __init__(self) -> None:
        self._told_at: float | None = None

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("message") != _SIGN:
            loop.default_exception_handler(context)
        elif self._told_at is None or clock.monotonic() - self._told_at > _QUIET_SECONDS:
            self._told_at = clock.monotonic()
            told = "new connections wait: %s; raise the limit on open files (ulimit -n), or send over fewer connections"
            _log.error(told, context.get("exception"))

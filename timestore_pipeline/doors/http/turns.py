"""A queue of connections with more events than one turn of the event loop may handle; each turn serves one of them.

So a client that sends thousands of requests or chunks in one packet delays others by one slice of its work at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """May be created before the loop runs; to be used in the loop only."""

    def __init__(self) -> None:
        self._line: deque[Callable[[], None]] = deque()

    def join(self, call: Callable[[], None]) -> None:
        """Call it once, in a later turn of the event loop."""
        self._line.append(call)
        if len(self._line) == 1:
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        """Serve one; a connection that joins meanwhile is queued behind the waiting ones."""
        call = self._line.popleft()
        if self._line:
            asyncio.get_running_loop().call_soon(self._serve)
        call()

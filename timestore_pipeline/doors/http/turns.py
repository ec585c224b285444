"""A line for connections with more to handle than one turn of the event loop allows; each turn serves one of them.

So a client that sends thousands of requests or chunks in one packet holds up others by one slice of its work at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Made before the loop runs, used in it only."""

    def __init__(self) -> None:
        self._line: deque[Callable[[], None]] = deque()

    def join(self, call: Callable[[], None]) -> None:
        """Call it once, in a later turn of the event loop."""
        self._line.append(call)
        if len(self._line) == 1:
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        """One of the line; what joins while it is served is behind those that wait."""
        call = self._line.popleft()
        if self._line:
            asyncio.get_running_loop().call_soon(self._serve)
        call()

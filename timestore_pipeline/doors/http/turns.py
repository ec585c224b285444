"""A queue of connections with more events than one turn of the event loop may handle; each turn serves one of them.

So a client that sends thousands of requests or chunks in one packet delays others by one slice of its work at a time.
The same applies to clients that were not let in yet, however many of them send at once: each turn serves one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """May be created before the loop runs; to be used in the loop only."""

    def __init__(self) -> None:
        self._line: deque[Callable[[], None]] = deque()
        self._is_taken = False  # by a stranger, in this turn

    def take(self) -> bool:
        """Whether a stranger may be served in this turn; if not, it joins the line."""
        if self._is_taken or self._line:
            return False
        self._is_taken = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        return True

    def join(self, call: Callable[[], None]) -> None:
        """Call it once, in a later turn of the event loop."""
        self._line.append(call)
        if len(self._line) == 1:
            asyncio.get_running_loop().call_soon(self._serve)

    def _end_turn(self) -> None:
        self._is_taken = False

    def _serve(self) -> None:
        """Serve one; a connection that joins meanwhile is queued behind the waiting ones."""
        call = self._line.popleft()
        if self._line:
            asyncio.get_running_loop().call_soon(self._serve)
        call()

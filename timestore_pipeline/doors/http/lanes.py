"""Reader processes with a memory budget, in two lanes: one for short bodies, so that they never wait for long ones.

A short body that is more work than its size suggests, for example because it unpacks to millions of rows, is stopped
early and read again on the lane for long bodies; for a minute, that client's bodies for that dataset go there directly.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from timestore_pipeline.doors.http.body import Body
from timestore_pipeline.doors.http.body_reading import Parsed
from timestore_pipeline.doors.http.capacity import Budget, Reservation
from timestore_pipeline.doors.http.limits import Limits, ReaderLimits
from timestore_pipeline.doors.http.readers import Readers
from timestore_pipeline.errors import BodyTooLarge, ServerBusy
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.system import clock

Sender = tuple[str, str]  # address and dataset
Submit = Callable[[Reservation, Parsed, memoryview], Future[Receipt]]

_REMEMBERED = 60.0  # seconds
_MOST_REMEMBERED = 10_000


class Lane:
    """Some readers with a memory budget; created and used in the event loop."""

    def __init__(self, limits: ReaderLimits, queue_seconds: float) -> None:
        self._limits = limits
        self._queue_seconds = queue_seconds
        self._memory = Budget(limits.room_bytes)
        self._readers = Readers(limits)
        self.start = self._readers.start
        self.close = self._readers.close

    async def stage(self, job: Mapping[str, Any], body: bytes, submit: Submit) -> Receipt:
        """Read a body and stage its rows with `submit`, which is called in a reader's thread."""
        bounds = {"most_bytes": self._limits.body_bytes, "cpu_seconds": self._limits.cpu_seconds}
        async with self._room() as room:
            return await self._readers.stage({**job, **bounds}, body, partial(submit, room))

    @asynccontextmanager
    async def _room(self) -> AsyncIterator[Reservation]:
        """Reserve room for the largest size of a body; `submit` gives back the rest once the size is known."""
        async with AsyncExitStack() as stack:
            try:
                reserved = self._memory.reserve(self._limits.body_bytes, self._queue_seconds)
                room = await stack.enter_async_context(reserved)
            except TimeoutError as error:
                raise ServerBusy(
                    "too many bodies wait to be read", hint="wait, then retry; send less at once"
                ) from error
            yield room


class Heavy:
    """Senders that lately sent a short body which took long to read."""

    def __init__(self) -> None:
        self._until: dict[Sender, float] = {}

    def add(self, sender: Sender) -> None:
        self._until.pop(sender, None)
        self._until[sender] = clock.monotonic() + _REMEMBERED
        if len(self._until) > _MOST_REMEMBERED:
            del self._until[next(iter(self._until))]

    def __contains__(self, sender: Sender) -> bool:
        return self._until.get(sender, 0.0) > clock.monotonic()


class Lanes:
    """The two lanes."""

    def __init__(self, limits: Limits) -> None:
        self._heavy = Heavy()
        self._short = Lane(limits.short, limits.queue_seconds)
        self._long = Lane(limits.long, limits.queue_seconds)

    def start(self) -> None:
        self._short.start()
        self._long.start()

    def close(self) -> None:
        self._short.close()
        self._long.close()

    async def stage(self, sender: Sender, job: Mapping[str, Any], body: Body, submit: Submit) -> Receipt:
        """Raises the errors of reading and staging, and `ServerBusy`."""
        if body.short is not None and sender not in self._heavy:
            try:
                return await self._short.stage(job, body.short, submit)
            except BodyTooLarge:
                self._heavy.add(sender)
        return await self._long.stage(job, body.short or b"", submit)

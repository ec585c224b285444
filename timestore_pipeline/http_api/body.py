"""Taking in a request's body: a short one stays in memory, a long one goes to a file, and a slow one goes nowhere."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timestore_pipeline import clock
from timestore_pipeline.errors import BodyTooLarge, DiskFull, SlowRequest
from timestore_pipeline.http_api.capacity import BlockingCalls, Slots
from timestore_pipeline.http_api.limits import Limits

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_IN_MEMORY = 256 << 10  # bytes; also what one write to the file takes


class Disconnected(Exception):
    """The client is gone before its request was complete; there is nobody to answer."""


class BodyReader:
    """Pieces of one body, within the limits of time and size."""

    def __init__(self, receive: Receive, limits: Limits, most_bytes: int) -> None:
        self._receive = receive
        self._limits = limits
        self._most_bytes = most_bytes
        self._started = clock.monotonic()
        self._received = 0
        self._more = True

    async def piece(self) -> bytes:
        """The next piece, empty at the end. Raises `SlowRequest`, `BodyTooLarge`, `Disconnected`."""
        while self._more:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise Disconnected
            self._more = message.get("more_body", False)
            piece: bytes = message.get("body", b"")
            self._received += len(piece)
            if self._received > self._most_bytes:
                raise body_too_large(self._most_bytes)
            if piece:
                return piece
        return b""

    async def whole(self) -> bytes:
        """All of it, for bodies that are short."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def _next(self) -> MutableMapping[str, Any]:
        limits = self._limits
        allowed = limits.grace_seconds + self._received / limits.slowest_bytes
        left = self._started + allowed - clock.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(left, limits.idle_seconds))):
                return await self._receive()
        except TimeoutError as error:
            hint = "check the network; retry with the same idempotency key"
            raise SlowRequest(f"the body arrives too slowly: {self._received} bytes so far", hint=hint) from error


@dataclass(frozen=True, slots=True)
class Body:
    """A body that is all there."""

    work: Path  # a folder of its own, which need not exist; that of a short body is its reader's to make and remove
    short: bytes | None  # None: it lies in the file `packed` in `work`


class Spool:
    """Where bodies wait: in memory, or in a folder of this process, bounded in bytes together."""

    def __init__(self, folder: Path, limits: Limits, calls: BlockingCalls) -> None:
        self._folder = folder
        self._calls = calls
        self._space = Slots(limits.spool_bytes, "bytes of bodies")
        self._count = itertools.count()

    @asynccontextmanager
    async def take_in(self, pieces: BodyReader) -> AsyncIterator[Body]:
        """The whole body, until the block ends. Raises what `BodyReader.piece` raises, `ServerBusy`, `DiskFull`."""
        work = self._folder / str(next(self._count))
        taken = 0
        waiting = bytearray()
        on_disk = False
        try:
            while piece := await pieces.piece():
                self._space.take(len(piece))
                taken += len(piece)
                waiting += piece
                if len(waiting) >= _IN_MEMORY:
                    on_disk = True
                    await self._append(work, waiting)
            if on_disk:
                await self._append(work, waiting)
            yield Body(work, None if on_disk else bytes(waiting))
        finally:
            self._space.give_back(taken)
            if on_disk:
                await self._calls.run(shutil.rmtree, work, ignore_errors=True)

    async def _append(self, work: Path, waiting: bytearray) -> None:
        piece = bytes(waiting)
        waiting.clear()
        await self._calls.run(_append, work, piece)


def body_too_large(most: int) -> BodyTooLarge:
    hint = "send smaller batches, or raise TIMESTORE_API_MAX_BODY_BYTES"
    return BodyTooLarge(f"the body is larger than {most} bytes", hint=hint)


def _append(work: Path, piece: bytes) -> None:
    try:
        work.mkdir(exist_ok=True)
        with (work / "packed").open("ab") as file:
            file.write(piece)
    except OSError as error:
        hint = "free space on the staging directory's disk"
        raise DiskFull(f"the body cannot be spooled: {error.strerror}", hint=hint) from error

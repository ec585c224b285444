"""Receives a request's body: a short one is kept in memory, a long one in a file; one that is too slow is refused."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timestore_pipeline.doors.http.capacity import BlockingCalls, Slots
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.errors import BodyTooLarge, DiskFull, ServerBusy, SlowRequest
from timestore_pipeline.system import clock

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_IN_MEMORY = 256 << 10  # bytes; also what one write to the file takes
_LONG = 5.0  # seconds within which an ordinary client's body is complete
_LOOK_AGAIN = 0.01  # seconds


class Disconnected(Exception):
    """The client disconnected before its request was complete, so no answer is sent."""


class BodyReader:
    """Pieces of one body, within the limits of time and size."""

    def __init__(self, receive: Receive, limits: Limits, most_bytes: int) -> None:
        self._receive = receive
        self._limits = limits
        self._most_bytes = most_bytes
        self._started = clock.monotonic()
        self._received = 0
        self._more = True
        self._gives_way = False
        self._patience: asyncio.Timeout | None = None

    async def piece(self) -> bytes:
        """The next piece, empty at the end. Raises `SlowRequest`, `BodyTooLarge`, `Disconnected`, `ServerBusy`."""
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
        """The whole body, for short ones."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    @property
    def is_slow(self) -> bool:
        """Whether it has been arriving for longer than an ordinary body."""
        return self._more and clock.monotonic() - self._started > _LONG

    def give_way(self) -> None:
        """End it with `ServerBusy`: other bodies need its room."""
        self._gives_way = True
        if self._patience is not None:  # else a piece is being written, and it ends before the next one
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def _next(self) -> MutableMapping[str, Any]:
        limits = self._limits
        allowed = limits.grace_seconds + self._received / limits.slowest_bytes
        left = 0.0 if self._gives_way else self._started + allowed - clock.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(left, limits.idle_seconds))) as self._patience:
                return await self._receive()
        except TimeoutError as error:
            if self._gives_way:
                raise ServerBusy("the body arrives slowly, and others need its room", hint="send it faster") from error
            hint = "check the network; retry with the same idempotency key"
            raise SlowRequest(f"the body arrives too slowly: {self._received} bytes so far", hint=hint) from error
        finally:
            self._patience = None


@dataclass(frozen=True, slots=True)
class Body:
    """A complete body."""

    work: Path  # a folder of its own, which need not exist; for a short body, its reader creates and removes it
    short: bytes | None  # None: it is in the file `packed` in `work`


class Spool:
    """Holds bodies: short ones in memory, bounded by the number of connections, others in a folder, bounded in bytes.

    A body for which there is no room takes the room of the oldest slow one that is not complete.
    """

    def __init__(self, folder: Path, limits: Limits, calls: BlockingCalls) -> None:
        self._folder = folder
        self._calls = calls
        self._space = Slots(limits.spool_bytes, "bytes of bodies")
        self._arriving: dict[BodyReader, None] = {}  # on disk, the oldest first
        self._count = itertools.count()

    @asynccontextmanager
    async def take_in(self, pieces: BodyReader) -> AsyncIterator[Body]:
        """The whole body, until the block ends. Raises the errors of `BodyReader.piece`, `ServerBusy`, `DiskFull`."""
        work = self._folder / str(next(self._count))
        taken = 0
        waiting = bytearray()
        try:
            while piece := await pieces.piece():
                waiting += piece
                if len(waiting) >= _IN_MEMORY:
                    taken += await self._append(pieces, work, waiting)
            if taken:
                taken += await self._append(pieces, work, waiting)
            self._arriving.pop(pieces, None)
            yield Body(work, None if taken else bytes(waiting))
        finally:
            self._arriving.pop(pieces, None)
            self._space.give_back(taken)
            if taken:
                await self._calls.run(shutil.rmtree, work, ignore_errors=True)

    async def _append(self, pieces: BodyReader, work: Path, waiting: bytearray) -> int:
        """Write to the file; returns the bytes of room that it took."""
        self._arriving[pieces] = None
        piece = bytes(waiting)
        waiting.clear()
        await self._take(pieces, len(piece))
        try:
            await self._calls.run(_append, work, piece)
        except BaseException:
            self._space.give_back(len(piece))
            raise
        return len(piece)

    async def _take(self, pieces: BodyReader, size: int) -> None:
        while True:
            try:
                self._space.take(size)
            except ServerBusy:
                slow = next((one for one in self._arriving if one.is_slow and one is not pieces), None)
                if slow is None:
                    raise
                slow.give_way()
                await asyncio.sleep(_LOOK_AGAIN)
            else:
                return


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

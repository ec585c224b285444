"""Limits on concurrent work: a request for a slot is refused when none is left, a request for bytes waits."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import ParamSpec, TypeVar

from timestore_pipeline.errors import ServerBusy

P = ParamSpec("P")
T = TypeVar("T")

_RETRY_AFTER = timedelta(seconds=1)


class Slots:
    """A limit on an amount in use; to be used in the event loop only."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._used = 0

    def take(self, amount: int = 1) -> None:
        """Raises `ServerBusy` when not enough is left."""
        if self._used + amount > self._most:
            raise ServerBusy(
                f"the server has {self._most} {self._what} at work",
                hint="wait and retry with the same idempotency key, or send fewer, larger batches",
                retry_after=_RETRY_AFTER,
            )
        self._used += amount

    def give_back(self, amount: int = 1) -> None:
        self._used -= amount

    @property
    def is_free(self) -> bool:
        return self._used == 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self.take()
        try:
            yield
        finally:
            self.give_back()


class Shares:
    """Slots of which one owner, such as an address, gets only a share; to be used in the event loop only."""

    def __init__(self, most: int, most_of_one: int, what: str) -> None:
        self._slots = Slots(most, what)
        self._most_of_one = most_of_one
        self._what = what
        self._owned: dict[str, Slots] = {}

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """Raises `ServerBusy`."""
        owned = self._owned.setdefault(owner, Slots(self._most_of_one, f"{self._what} from one address"))
        try:
            with owned.one(), self._slots.one():
                yield
        finally:
            if owned.is_free:
                self._owned.pop(owner, None)


class Reservation:
    """Bytes reserved before the needed amount is known. Thread-safe."""

    def __init__(self, amount: int, give_back: Callable[[int], None]) -> None:
        self._amount = amount
        self._give_back = give_back
        self._lock = threading.Lock()

    def shrink(self, amount: int) -> None:
        """Give back all but `amount`, if more is reserved."""
        with self._lock:
            surplus = max(self._amount - amount, 0)
            self._amount -= surplus
        self._give_back(surplus)


class Budget:
    """A limit on bytes in memory; a request for more than is left waits in line."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._lock = threading.Lock()  # of the number alone: reservations shrink in other threads
        self._loop = asyncio.get_running_loop()
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def reserve(self, amount: int, seconds: float | None = None) -> AsyncIterator[Reservation]:
        """amount: at most the budget's total. Raises `TimeoutError` after `seconds` in line, None = never."""
        if self._line or not self._take_now(amount):
            async with asyncio.timeout(seconds):
                await self._take(amount)
        reservation = Reservation(amount, self._give_back)
        try:
            yield reservation
        finally:
            reservation.shrink(0)

    def _take_now(self, amount: int) -> bool:
        with self._lock:
            enough = amount <= self._left
            self._left -= amount if enough else 0
        return enough

    async def _take(self, amount: int) -> None:
        granted = asyncio.get_running_loop().create_future()
        self._line.append((amount, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():  # granted and cancelled at once
                self._give_back(amount)
            raise

    def _give_back(self, amount: int) -> None:
        """Raise the number before looking at the line; `_take` joins the line before looking at the number."""
        with self._lock:
            self._left += amount
        if self._line:
            _in_loop(self._loop, self._grant)

    def _grant(self) -> None:
        while self._line and (self._line[0][1].cancelled() or self._take_now(self._line[0][0])):
            _, granted = self._line.popleft()
            if not granted.cancelled():
                granted.set_result(None)


class BlockingCalls:
    """Threads for calls that would block the event loop; at most `most` calls running or waiting."""

    def __init__(self, threads: int, most: int, what: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="timestore-http")
        self._slots = Slots(most, what)

    async def run(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Raises `ServerBusy`, and the call's errors. A call that has begun is finished even if its caller gives up."""
        self._slots.take()
        future = self._executor.submit(call, *arguments, **options)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _in_loop(loop, self._slots.give_back))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for running calls, drop waiting ones."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed, so nothing has to be counted any more
        loop.call_soon_threadsafe(call)

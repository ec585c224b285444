"""What is at work is counted exactly, also when who waits gives up."""

from __future__ import annotations

import asyncio
import threading

import pytest

from timestore_pipeline.doors.http.capacity import BlockingCalls, Budget, Shares, Slots
from timestore_pipeline.errors import ServerBusy


def test_slots_run_out_and_come_back() -> None:
    slots = Slots(2, "things")
    with slots.one():
        slots.take()
        with pytest.raises(ServerBusy, match="2 things"):
            slots.take()
    slots.take()


def test_one_owner_has_a_part_of_the_slots_only() -> None:
    shares = Shares(3, 2, "things")
    with shares.one("a"), shares.one("a"):
        with pytest.raises(ServerBusy, match="2 things from one address"):
            shares.one("a").__enter__()
        with shares.one("b"), pytest.raises(ServerBusy, match="3 things"):
            shares.one("c").__enter__()
    assert shares._owned == {}


def test_whoever_asks_for_more_than_is_left_waits_in_line() -> None:
    async def story() -> list[str]:
        order: list[str] = []
        budget = Budget(10)

        async def worker(name: str, amount: int) -> None:
            async with budget.reserve(amount):
                order.append(name)

        async with budget.reserve(8) as first:
            waiting = [asyncio.create_task(worker(name, amount)) for name, amount in (("large", 9), ("small", 1))]
            await asyncio.sleep(0)
            assert order == [], "the small one does not overtake the large one"
            first.shrink(0)
            await asyncio.gather(*waiting)
        return order

    assert asyncio.run(story()) == ["large", "small"]


def test_who_gives_up_holds_up_nobody() -> None:
    async def story() -> None:
        budget = Budget(10)
        async with budget.reserve(10):
            given_up = asyncio.create_task(budget.reserve(10).__aenter__())
            patient = asyncio.create_task(budget.reserve(10).__aenter__())
            await asyncio.sleep(0)
            given_up.cancel()
        await asyncio.wait_for(patient, 30)

    asyncio.run(story())


def test_blocking_calls_beyond_the_limit_are_refused() -> None:
    async def story() -> None:
        calls = BlockingCalls(1, 2, "calls")
        released = threading.Event()
        waiting = [asyncio.create_task(calls.run(released.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ServerBusy):
            await calls.run(released.wait)
        released.set()
        await asyncio.gather(*waiting)
        await asyncio.sleep(0)  # the counts come through the event loop
        assert await calls.run(int, "7") == 7
        calls.close()

    asyncio.run(story())

"""One stranger in each turn of the event loop; those that wait go first."""

from __future__ import annotations

import asyncio

from timestore_pipeline.doors.http.turns import Turns


def test_a_turn_is_taken_once() -> None:
    async def story() -> list[bool]:
        turns = Turns()
        found = [turns.take(), turns.take()]
        await asyncio.sleep(0)
        return [*found, turns.take()]

    assert asyncio.run(story()) == [True, False, True]


def test_those_in_the_line_are_served_one_a_turn_and_before_others() -> None:
    async def story() -> list[object]:
        turns, served = Turns(), list[object]()
        for number in range(3):
            turns.join(lambda number=number: served.append(number))  # type: ignore[misc]
        for _ in range(4):
            served.append(turns.take())
            await asyncio.sleep(0)
        return served

    assert asyncio.run(story()) == [False, 0, False, 1, False, 2, True]

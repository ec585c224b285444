"""A body that arrives slowly takes no room from one that is there."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from timestore_pipeline.doors.http.body import BodyReader, Spool
from timestore_pipeline.doors.http.capacity import BlockingCalls
from timestore_pipeline.doors.http.lanes import Heavy
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.errors import ServerBusy

LIMITS = Limits(body_bytes=64 << 10)  # so the spool takes a mebibyte
PIECE = b"x" * (600 << 10)


def body(*, is_whole: bool, seconds_ago: float = 0.0) -> BodyReader:
    """One piece, and then its end, or nothing for ever."""
    messages = [{"type": "http.request", "body": PIECE, "more_body": not is_whole}]

    async def receive() -> MutableMapping[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    reader = BodyReader(receive, LIMITS, len(PIECE))
    reader._started -= seconds_ago
    return reader


async def taken_in(spool: Spool, pieces: BodyReader) -> int:
    async with spool.take_in(pieces) as found:
        return (found.work / "packed").stat().st_size


def together(folder: Path, *bodies: BodyReader) -> list[int | BaseException]:
    """What becomes of each; the later ones come once the first is waiting."""

    async def story() -> list[int | BaseException]:
        calls = BlockingCalls(1, 10, "calls")
        spool = Spool(folder, LIMITS, calls)
        tasks = []
        for pieces in bodies:
            tasks.append(asyncio.create_task(taken_in(spool, pieces)))
            while not list(folder.glob("*/packed")):
                await asyncio.sleep(0.01)
        done = await asyncio.gather(*tasks[-1:], return_exceptions=True)
        if isinstance(done[0], int):  # it took the others' room
            await asyncio.wait(tasks[:-1])
        for task in tasks:
            task.cancel()
        others = await asyncio.gather(*tasks[:-1], return_exceptions=True)
        calls.close()
        return [*others, *done]

    return asyncio.run(story())


def test_the_slowest_body_gives_its_room_to_another_one(tmp_path: Path) -> None:
    slow, good = together(tmp_path, body(is_whole=False, seconds_ago=6), body(is_whole=True))
    assert isinstance(slow, ServerBusy)
    assert good == len(PIECE)
    assert list(tmp_path.iterdir()) == []


def test_a_body_gives_way_also_while_a_piece_of_it_is_written(tmp_path: Path) -> None:
    async def story() -> None:
        slow = body(is_whole=False)
        assert await slow.piece() == PIECE
        slow.give_way()
        with pytest.raises(ServerBusy, match="others need its room"):
            await slow.piece()

    asyncio.run(story())


def test_a_body_that_has_just_begun_keeps_its_room(tmp_path: Path) -> None:
    first, second = together(tmp_path, body(is_whole=False), body(is_whole=True))
    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(second, ServerBusy)


def test_who_sent_much_work_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    heavy, now = Heavy(), 1_000.0
    monkeypatch.setattr("timestore_pipeline.system.clock.monotonic", lambda: now)
    for number in range(20_000):
        heavy.add(("10.0.0.1", f"d{number}"))
    assert ("10.0.0.1", "d19999") in heavy
    assert ("10.0.0.1", "d1") not in heavy, "only so many are remembered"
    now += 61
    assert ("10.0.0.1", "d19999") not in heavy

"""New connections wait: all but a few in each turn of the event loop, and all of them while no file can be opened."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import psutil

from tests.doors.http.serving import post, server, stream, table
from timestore_pipeline.doors.http.accepting import Acceptor
from timestore_pipeline.doors.http.connection import Connection
from timestore_pipeline.doors.http.roster import Roster

SPARE = 3  # files that the server may still open


def test_connections_beyond_the_limit_on_open_files_wait_and_the_log_says_so_once(home: Path) -> None:
    with server(home, "--quiet") as running, running.client() as client:
        assert post(client, stream(table(1))).status_code == 201
        process = psutil.Process(running.process.pid)
        before = process.rlimit(resource.RLIMIT_NOFILE)
        with ExitStack() as stack:
            process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds() + SPARE, before[1]))
            for _ in range(20):
                stack.enter_context(running.connect())
            assert "Too many open files" in running.logged("new connections wait")
            refused = post(client, stream(table(1)), dataset="new")  # whose folder is looked into
            assert (refused.status_code, refused.json()["code"]) == (503, "retry_later")
            process.rlimit(resource.RLIMIT_NOFILE, before)
        with running.client() as later:
            assert post(later, stream(table(1))).status_code == 201
        assert "Traceback" not in running.log.read_text()


class Idle(asyncio.Protocol):
    """A connection that does nothing."""

    peer, let_in, since, is_spare, is_made = "", False, 0.0, False, True


def test_a_flood_of_connections_leaves_the_event_loop_to_others() -> None:
    """Another callback, as of a good client's request, has its turn after every second of them."""

    async def story() -> list[int]:
        with ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
            for _ in range(60):
                stack.enter_context(socket.create_connection(listener.getsockname()))
            accepted, seen = list[Idle](), list[int]()

            def make() -> Connection:
                accepted.append(Idle())
                return accepted[-1]  # type: ignore[return-value]

            stack.callback(Acceptor(listener, Roster(100, 100, 0), make).close)
            while len(accepted) < 60:
                await asyncio.sleep(0)  # one turn
                seen.append(len(accepted))
            return seen

    seen = asyncio.run(story())
    assert max(later - earlier for earlier, later in pairwise(seen)) <= 2

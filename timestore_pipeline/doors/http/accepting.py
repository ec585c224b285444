"""Accepts connections: a few in each turn of the event loop, and never more than the limit.

asyncio accepts all waiting connections at once, regardless of how many are open, and logs every failure with a
traceback. Here a connection for which there is no room waits in the system's queue until another one has been closed;
a few places beyond the limit are reserved for probes. A connection counts from its acceptance: in its TLS handshake it
gives way like any other that asks nothing. When the process cannot open more files, new connections wait for a second,
and the log reports it once a minute.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from timestore_pipeline.doors.http.connection import Connection
from timestore_pipeline.doors.http.roster import Roster
from timestore_pipeline.system import clock

_log = logging.getLogger(__name__)

_AT_ONCE = 8  # connections accepted in one turn of the event loop; one that was reset costs fifty microseconds,
_ADMITTED = 1  # and one that is let into the roster, half a millisecond of this turn and later ones
_NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_SECONDS = 1.0  # when no file can be opened
_QUIET_SECONDS = 60.0  # between two log lines about it


class Acceptor:
    """One listening socket; created and used in the event loop."""

    def __init__(
        self,
        listener: socket.socket,
        roster: Roster,
        make: Callable[[], Connection],
        tls: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """tls: options of the next connection's TLS, as `connect_accepted_socket` takes them; empty = plain TCP."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._roster = roster
        self._make = make
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._next: tuple[socket.socket, str] | None = None  # accepted, and waiting for room; with its address
        self._logged_at: float | None = None
        self._is_listening = self._is_closed = False
        listener.setblocking(False)
        roster.on_change(self._listen)
        self._listen()

    def close(self) -> None:
        """Accept no more connections; open ones stay open."""
        self._is_closed = True
        self._stop()
        if self._next is not None:
            self._next[0].close()

    async def wait_closed(self) -> None:
        """Returns at once: uvicorn waits for the connections itself."""

    def _listen(self) -> None:
        if not self._is_listening and not self._is_closed:
            self._is_listening = True
            self._loop.add_reader(self._listener, self._accept)
            if self._next is not None:
                self._loop.call_soon(self._accept)

    def _stop(self) -> None:
        if self._is_listening:
            self._is_listening = False
            self._loop.remove_reader(self._listener)

    def _accept(self) -> None:
        admitted = 0
        for _ in range(_AT_ONCE):
            if not self._is_listening or admitted == _ADMITTED:
                return
            if self._next is None and (found := self._taken()) is not None and _is_alive(found[0]):
                self._next = found
            if self._next is not None and not self._has_room():
                self._stop()  # until one is closed
                return
            if self._next is not None:
                accepted, self._next = self._next, None
                self._admit(*accepted)
                admitted += 1

    def _has_room(self) -> bool:
        """False = not yet, or all connections are at work."""
        return not self._roster.is_full or not (self._roster.make_room() or self._roster.is_full_to_the_last)

    def _taken(self) -> tuple[socket.socket, str] | None:
        try:
            accepted, address = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None
        except OSError as error:
            self._fail(error)
            return None
        accepted.setblocking(False)
        return accepted, str(address[0])

    def _admit(self, accepted: socket.socket, peer: str) -> None:
        connection = self._make()
        connection.peer = peer
        connection.is_spare = self._roster.is_full
        self._roster.add(connection)
        tls = self._tls()
        task = self._loop.create_task(self._connect(connection, accepted, tls))
        if tls:
            connection.abandon = task.cancel
        self._tasks.add(task)
        task.add_done_callback(partial(self._connected, connection, accepted))
        if self._roster.exceeds_its_share(peer):
            self._roster.make_room(peer)

    async def _connect(self, connection: Connection, accepted: socket.socket, tls: dict[str, Any]) -> None:
        with suppress(OSError):  # the client has already disconnected, or its handshake failed
            await self._loop.connect_accepted_socket(lambda: connection, accepted, **tls)

    def _connected(self, connection: Connection, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        """Here and not in the task: one that is cancelled before its first step does not run at all."""
        self._tasks.discard(task)
        if not connection.is_made:  # else its transport closes the socket
            accepted.close()
            self._roster.remove(connection)

    def _fail(self, error: OSError) -> None:
        self._stop()
        if error.errno not in _NO_FILES:
            _log.error("no connection can be accepted: %s", error)
        elif self._logged_at is None or clock.monotonic() - self._logged_at > _QUIET_SECONDS:
            self._logged_at = clock.monotonic()
            remedy = "raise the limit on open files (ulimit -n), or send over fewer connections"
            _log.error("new connections wait: %s; %s", error, remedy)
        self._loop.call_later(_PAUSE_SECONDS, self._listen)


def _is_alive(accepted: socket.socket) -> bool:
    """False = the client has already reset or closed it; it is closed here, so that a flood of them costs little."""
    try:
        if accepted.recv(1, socket.MSG_PEEK):
            return True
    except (BlockingIOError, InterruptedError):
        return True
    except OSError:
        pass
    accepted.close()
    return False

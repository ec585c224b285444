"""Between a connection and its socket: joins head and body of an answer, sends without delay, and provides timers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Timer:
    """Calls a function once, unless it is stopped; starting it again while it runs has no effect."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._call = call
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._call)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class WholeAnswers:
    """A transport that joins an answer's head and body, which uvicorn writes separately, into one write.

    Data that no other write follows is sent in the next turn of the event loop. `holds`: reading is paused, because
    earlier input is not handled yet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self.holds = False

    def resume_reading(self) -> None:
        if not self.holds:
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        elif data:
            self._held = data
            self._loop.call_soon(self._send_held)

    def close(self) -> None:
        self._send_held()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send_held(self) -> None:
        if self._held:
            self.write(b"")


def is_reset(transport: asyncio.BaseTransport) -> bool:
    """Whether the client has reset the connection, also while nothing is read from it."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:  # TLS has none any more once the connection is lost
        return True
    return bool(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def send_at_once(transport: asyncio.Transport) -> None:
    """Set TCP_NODELAY; otherwise an answer's body waits up to 40 ms for the client's delayed acknowledgement.

    asyncio sets it only for sockets whose protocol number is TCP; that of `socket.create_server` is 0.
    """
    connection = transport.get_extra_info("socket")
    with suppress(OSError):  # the client has already reset it
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

"""Around every request: an id, a line in the access log, and an end that the client can read.

The log line has no header and no query, which is where people put secrets.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Any

from timestore_pipeline import clock
from timestore_pipeline.model.log_event import LogEvent

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

ACCESS_LOG = "timestore_pipeline.http_api.access"

_access = logging.getLogger(ACCESS_LOG)

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_UNREAD_BYTES = 1 << 20  # of a body nobody wants, read for a client that cannot listen before it has spoken
_UNREAD_SECONDS = 2.0
_LONGEST_PATH = 300  # characters in the log


class Exchanges:
    """ASGI middleware; one `Exchange` per request."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            exchange.log()


class Exchange:
    """One request and its response."""

    def __init__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._started = clock.monotonic()
        self._received = 0
        self._unread = True  # there may be more of the body
        self._status: int | None = None
        self._id = _request_id(scope)
        scope["state"]["request_id"] = self._id

    async def receive(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._unread = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self._id.encode())]
            if self._unread and not await self._read_away():
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        await self._send(message)

    def log(self) -> None:
        if not _access.isEnabledFor(logging.INFO):
            return
        path = self._scope["raw_path"].decode("ascii", "replace")[:_LONGEST_PATH]
        client = (self._scope.get("client") or ("-",))[0]
        took = timedelta(seconds=clock.monotonic() - self._started)
        event = LogEvent(
            "http request",
            client=client,
            method=self._scope["method"],
            path=path,
            status=self._status,
            bytes=self._received,
            seconds=took,
            request_id=self._id,
        )
        _access.info("%s", event)

    async def _read_away(self) -> bool:
        """Whether the body has come to its end. One that waits to be asked for (`Expect`) is not asked for."""
        if b"expect" in (name for name, _ in self._scope["headers"]):
            return False
        most = self._received + _UNREAD_BYTES
        try:
            async with asyncio.timeout(_UNREAD_SECONDS):
                while self._unread and self._received <= most:
                    await self.receive()
        except TimeoutError:
            return False
        return not self._unread


def _request_id(scope: Message) -> str:
    """The client's own when it is one that can be printed anywhere, else a new one."""
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _SANE_ID.fullmatch(given[0]):
        return bytes(given[0]).decode()
    return uuid.uuid4().hex

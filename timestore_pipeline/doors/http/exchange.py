"""Wraps every request: gives it an id and a line in the access log, and makes sure that the client gets its answer.

The log line has the token's name, and no header and no query, because these may hold secrets. A bug is logged in one
line, too, with the request's id.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.requests import Request

from timestore_pipeline.doors.access.gate import Token
from timestore_pipeline.doors.http.problems import of_error
from timestore_pipeline.doors.http.strict import check
from timestore_pipeline.errors import ForeignSite, UnreadableInput
from timestore_pipeline.system import clock
from timestore_pipeline.system.legible import LogEvent

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

ACCESS_LOG = "timestore_pipeline.doors.http.access"

_log = logging.getLogger(__name__)
_access = logging.getLogger(ACCESS_LOG)

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_UNREAD_BYTES = 1 << 20  # of a refused body that are read: many clients read no answer before they have sent everything
_UNREAD_SECONDS = 2.0
_LONGEST_PATH = 300  # characters in the log
_CALLERS = 5  # functions of a bug, the last one first


class Exchanges:
    """ASGI middleware; one `Exchange` per request. count: called with each token, right, status and seconds."""

    def __init__(self, app: App, count: Callable[[str, str, int, float], None]) -> None:
        self._app = app
        self._count = count

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        try:
            check(Request(scope))
            await self._app(scope, exchange.receive, exchange.send)
        except (ForeignSite, UnreadableInput) as error:  # from `check`; the application answers its own errors
            exchange.ends_with_it = True
            await (await of_error(Request(scope), error))(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001  # already answered with 500, unless the response had begun
            exchange.log_bug(error)
        finally:
            exchange.log()
            exchange.count(self._count)


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
        self.ends_with_it = False  # close the connection: the bytes that follow may belong to this request
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
            if self.ends_with_it or (self._unread and not await self._read_away()):
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        await self._send(message)

    def count(self, count: Callable[[str, str, int, float], None]) -> None:
        """Requests that need a right; without a valid token, the token's name is empty."""
        right = self._scope["state"].get("right")
        if right is not None and self._status is not None:
            count(self._token_name, right, self._status, clock.monotonic() - self._started)

    @property
    def _token_name(self) -> str:
        token: Token | None = self._scope["state"].get("token")
        return "" if token is None else token.name

    def log(self) -> None:
        if not _access.isEnabledFor(logging.INFO):
            return
        path = self._scope["raw_path"].decode("ascii", "replace")[:_LONGEST_PATH]
        client = (self._scope.get("client") or ("-",))[0]
        took = timedelta(seconds=clock.monotonic() - self._started)
        event = LogEvent(
            "http request",
            client=client,
            token=self._token_name or None,
            method=self._scope["method"],
            path=path,
            status=self._status,
            bytes=self._received,
            seconds=took,
            request_id=self._id,
        )
        _access.info("%s", event)

    def log_bug(self, error: Exception) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        event = LogEvent(
            "http request failed",
            error=type(error).__name__,
            message=str(error)[:_LONGEST_PATH],
            place=f"{Path(frame.filename).name}:{frame.lineno}",
            called=" < ".join(f.name for f in reversed(traceback.extract_tb(error.__traceback__)[-_CALLERS:])),
            request_id=self._id,
        )
        _log.error("%s", event)

    async def _read_away(self) -> bool:
        """Read the rest of the body; returns whether it has ended. With `Expect`, it is never sent."""
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
    """The client's id if it is short and printable, else a new one."""
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _SANE_ID.fullmatch(given[0]):
        return bytes(given[0]).decode()
    return uuid.uuid4().hex

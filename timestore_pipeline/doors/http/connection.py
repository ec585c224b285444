"""One connection: uvicorn's HTTP/1.1 over h11, with limits for slow clients and an answer to anything that is not HTTP.

uvicorn limits the time between requests. This class also limits the time for a request's head, the requests in one
packet, and the time for reading a response. A truncated body is refused with an answer; a client that has sent
everything and closed its sending side still gets its answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from timestore_pipeline.doors.http.exchange import ACCESS_LOG
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.doors.http.parser import SlicedParser
from timestore_pipeline.doors.http.roster import Activity, Roster
from timestore_pipeline.doors.http.transport import Timer, WholeAnswers, is_reset, send_at_once
from timestore_pipeline.doors.http.turns import Turns
from timestore_pipeline.system import clock
from timestore_pipeline.system.legible import LogEvent

_access = logging.getLogger(ACCESS_LOG)

_BUSY = "the server has too many connections"


class Connection(H11Protocol):
    """One per connection; created by the server's `Acceptor`."""

    limits: Limits
    roster: Roster
    turns: Turns
    conn: SlicedParser

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "connection": self}, _loop)
        self.conn = SlicedParser()
        self.peer = ""
        self.is_spare = False  # reserved for probes: no other request is answered
        self.let_in = False
        self.has_left = False  # the client sends no more; one that has closed its side only still gets its answer
        self.since = clock.monotonic()
        self.abandon: Callable[[], object] = lambda: None  # ends a handshake
        self.is_made = False  # connected, and beyond the handshake
        self._is_refused = self._is_tls = False
        self._head_timer = Timer(self.loop, self.limits.head_seconds, self._head_is_late)
        self._write_timer = Timer(self.loop, self.limits.write_seconds, self._abort)

    @property
    def activity(self) -> Activity:
        if self.cycle is None or self.cycle.response_complete:
            waits_for_turn = self.is_made and self.transport.holds  # type: ignore[attr-defined]
            return Activity.WORKS if waits_for_turn else Activity.WAITS
        return Activity.RECEIVES if self.cycle.more_body else Activity.WORKS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        send_at_once(transport)
        wrapped = WholeAnswers(transport, self.loop)
        super().connection_made(wrapped)  # type: ignore[arg-type]
        self.is_made = True
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        if self._is_refused:
            self.give_way()
        else:
            self._head_timer.start()

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_left = True
        self._head_timer.stop()
        self._write_timer.stop()
        self._unset_keepalive_if_required()
        self.roster.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_timer.stop()
        elif not self.transport.is_closing():
            self._head_timer.start()

    def handle_events(self) -> None:
        """Handle the events of one turn; the rest waits for the next turn, and nothing is read until then.

        A client that was not let in waits if another one has had this turn.
        """
        if self.transport.holds or self.transport.is_closing():  # type: ignore[attr-defined]
            return
        if self.let_in or self.turns.take():
            self._handle_some()
        else:
            self._wait_for_a_turn()

    def _handle_some(self) -> None:
        self.conn.begin_turn()
        super().handle_events()
        if self.conn.turn_is_over:
            self._wait_for_a_turn()

    def on_response_complete(self) -> None:
        """The next request, if it arrived before this answer, waits for a turn."""
        self.since = clock.monotonic()
        if self.conn.holds_next_request:
            self._wait_for_a_turn()
        super().on_response_complete()
        self.roster.changed()

    def admit(self) -> None:
        """Mark the connection as let in: one of its requests was authorised."""
        self.let_in = True
        self.roster.let_in(self)

    def give_way(self) -> None:
        """Answer an open request, and close. A client between two requests finds its connection closed."""
        self._is_refused = True
        if not self.is_made:
            self.abandon()
            return
        if self.activity is Activity.RECEIVES:
            self._break_off()
        if self.activity is Activity.WAITS and self.let_in:
            self.transport.close()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "server_busy", _BUSY)
        if self._is_tls or self.transport.get_write_buffer_size():  # TLS would wait for the client to confirm the end
            self.transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """True = stay open until the response is written; TLS cannot be closed in one direction."""
        self.has_left = True
        if self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        if self.cycle.more_body:
            self._break_off()
            if not self.cycle.response_started:
                self._refuse(HTTPStatus.BAD_REQUEST, "unreadable_input", "the body ends too early")
        return not self._is_tls

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # always the same
        """The request is not HTTP, or its head is too large, or, after the head, its body is malformed."""
        detail = self.conn.refusal or "this is not a valid HTTP/1.1 request"
        _access.info("%s", LogEvent("malformed http request", client=self.peer, detail=detail))
        if self.cycle is not None and not self.cycle.response_complete:
            self._break_off()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(HTTPStatus.BAD_REQUEST, "invalid_request", detail)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer.start()

    def resume_writing(self) -> None:
        self._write_timer.stop()
        super().resume_writing()

    def _wait_for_a_turn(self) -> None:
        self.transport.holds = True  # type: ignore[attr-defined]
        self.transport.pause_reading()
        self.turns.join(self._take_turn)

    def _take_turn(self) -> None:
        self.transport.holds = False  # type: ignore[attr-defined]
        if is_reset(self.transport):
            self._abort()
        elif not self.transport.is_closing():
            self._handle_some()
        if self.conn.their_state is not h11.IDLE:
            self._head_timer.stop()
        self.roster.changed()
        if not self.flow.read_paused:
            self.transport.resume_reading()

    def _break_off(self) -> None:
        """Tell the application that the rest of the body will not arrive."""
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def _head_is_late(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "slow_request", "the request's head arrives too slowly")

    def _abort(self) -> None:
        self.transport.abort()

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        """Write an answer directly to the transport, because h11 may be in any state, and close the connection."""
        if not self.transport.is_closing():
            self.transport.write(_answer(status, code, detail))
            self.transport.close()


def _answer(status: HTTPStatus, code: str, detail: str) -> bytes:
    document = {
        "type": f"urn:timestore:error:{code}",
        "title": status.phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
        "hint": "close the connection and try again",
        "dataset": None,
        "request_id": None,
    }
    body = json.dumps(document).encode()
    again = "" if status is HTTPStatus.BAD_REQUEST else "retry-after: 1\r\n"
    head = f"HTTP/1.1 {int(status)} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
    return f"{head}content-length: {len(body)}\r\n{again}connection: close\r\n\r\n".encode() + body

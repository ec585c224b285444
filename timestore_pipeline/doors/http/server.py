"""Runs the server: binds the socket, opens the stores, serves, and shuts down.

The socket is bound before anything is opened for writing, and requests are accepted only when everything is open. On
SIGTERM or SIGINT the server stops listening, finishes the open requests, and stages the queued batches.
`kill -9` at any moment loses no acknowledged batch: see `ingest/group_commit.py`.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from timestore_pipeline.doors.access.gate import Access
from timestore_pipeline.doors.access.reloading import refreshing
from timestore_pipeline.doors.http.accepting import Acceptor
from timestore_pipeline.doors.http.application import build_app
from timestore_pipeline.doors.http.connection import Connection
from timestore_pipeline.doors.http.exchange import ACCESS_LOG
from timestore_pipeline.doors.http.hosts import check_binding
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.doors.http.roster import Roster
from timestore_pipeline.doors.http.server_metrics import ServerMetrics
from timestore_pipeline.doors.http.service import Service
from timestore_pipeline.doors.http.turns import Turns
from timestore_pipeline.errors import InvalidInput
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

__all__ = ["ACCESS_LOG", "serve"]


def serve(
    settings: Settings, host: str, port: int, announce: Callable[[str], None], limits: Limits | None = None
) -> None:
    """Serve until SIGTERM or SIGINT.

    port: 0 = any free one. announce: called with the URL once the socket listens. limits: None = the defaults.
    Raises `InvalidSettings` for a host beyond loopback without a token, `ServerFileRefused` for a file that cannot be
    used, `InvalidInput` when the address cannot be bound, and the errors of opening the stores.
    """
    access = Access.of(settings)
    check_binding(host, access.gate.is_open)
    with (
        closing(_listen(host, port)) as listener,
        Timestore(settings) as store,
        StagingManager.open(settings) as staging,
        refreshing(access.files),
    ):
        _run(store, staging, listener, announce, access, limits or Limits(settings.api_max_body_bytes))


def _run(
    store: Timestore,
    staging: StagingManager,
    listener: socket.socket,
    announce: Callable[[str], None],
    access: Access,
    limits: Limits,
) -> None:
    make_service = partial(Service, store, staging, limits)
    roster = Roster(limits.connections, limits.connections_of_one, limits.connections_for_probes)
    app = build_app(make_service, access.gate, ServerMetrics(access, roster), stopping=lambda: server.should_exit)
    server = _Server(_config(app, limits, roster), roster, partial(_tls, access, limits))

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        announce(_url(listener, access))  # after the handlers are set: the caller may send a signal from now on
        server.run(sockets=[listener])  # at its end, uvicorn raises the signal again, which has no effect here
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    """uvicorn's server, with an `Acceptor` in place of asyncio's servers."""

    def __init__(self, config: uvicorn.Config, roster: Roster, tls: Callable[[], dict[str, Any]]) -> None:
        """tls: as for an `Acceptor`."""
        super().__init__(config)
        self._roster = roster
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        accept = partial(Acceptor, roster=self._roster, make=self._connection, tls=self._tls)
        self.servers = [accept(listener) for listener in sockets or []]  # type: ignore[misc]
        self.started = True

    def _connection(self) -> Connection:
        kind = cast(type[Connection], self.config.http_protocol_class)
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _config(app: object, limits: Limits, roster: Roster) -> uvicorn.Config:
    shared = {"limits": limits, "roster": roster, "turns": Turns()}
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=type("LimitedConnection", (Connection,), shared),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",  # its warnings are about requests, and do not name the client
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=limits.shutdown_seconds,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError, UnicodeError) as error:
        hint = "choose another --host or --port; --port 0 takes any free one"
        raise InvalidInput(f"cannot listen on {host} port {port}: {error}", hint=hint) from error


def _tls(access: Access, limits: Limits) -> dict[str, Any]:
    """The certificate as it is now; an open connection keeps the one that it began with."""
    if access.certificate is None:
        return {}
    seconds = {"ssl_handshake_timeout": limits.handshake_seconds, "ssl_shutdown_timeout": limits.farewell_seconds}
    return {"ssl": access.certificate.value, **seconds}


def _url(listener: socket.socket, access: Access) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "http" if access.certificate is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

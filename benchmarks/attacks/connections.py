"""Attacks by connections and heads. The attackers have no token, except where it says so."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from benchmarks.attacks.target import Target

Attack = Callable[[], None]  # one round
Prepare = Callable[[Target], Attack]  # for one of the attacking threads

THREADS = 4  # that attack at the same time

_IDLE, _SLOW = 900, 200  # connections held, of all threads together
_AT_ONCE = 50  # connections of a round
_PAUSE = 0.25  # seconds between two rounds of an attack that holds connections open
_PIPELINED = 500  # requests in a packet
_HEAD = b"POST /v1/datasets/d/batches HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\n"
_DRAIN = b"POST /v1/drain?wait=300 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n"


class Held:
    """Connections that stay open; each round replaces those that the server has closed."""

    def __init__(self, target: Target, count: int, sent: bytes, drip: bytes) -> None:
        """drip: sent on every connection in each round."""
        self._target = target
        self._count = int(target.share * count) // THREADS
        self._sent = sent
        self._drip = drip
        self._open: list[socket.socket] = []

    def round(self) -> None:
        time.sleep(_PAUSE)  # replaced at once, they would be a flood of connections, which is another attack
        self._open = [connection for connection in self._open if self._is_open(connection)]
        for _ in range(min(self._count - len(self._open), _AT_ONCE)):
            connection = self._target.connect()
            connection.sendall(self._sent)
            connection.setblocking(False)
            self._open.append(connection)
            self._target.held.add(connection)

    def _is_open(self, connection: socket.socket) -> bool:
        try:
            if self._drip:
                connection.send(self._drip)
            if connection.recv(1024):
                return True
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        self._target.held.discard(connection)
        connection.close()
        return False


def _held(target: Target, count: int, sent: bytes = b"", drip: bytes = b"") -> Attack:
    return Held(target, count, sent, drip).round


def _with_token(target: Target, head: bytes) -> bytes:
    return head + b"authorization: Bearer %s\r\n" % target.token.encode()


def _slow_bodies(target: Target) -> Attack:
    """With a token: of a client whose line is slow."""
    head = _with_token(target, _HEAD) + b"content-length: 1000000\r\n\r\na\n"
    return _held(target, _SLOW, head, drip=b"1\n")


def _waiting_flushes(target: Target) -> Attack:
    """With a token."""
    return _held(target, _SLOW, _with_token(target, _DRAIN) + b"\r\n")


def _flood(target: Target, sent: bytes = b"", *, reset: bool = False) -> Attack:
    """Connections without TLS, whatever the server serves."""

    def attack() -> None:
        for _ in range(_AT_ONCE):
            with target.connect_below(reset=reset) as connection:
                connection.sendall(sent)

    return attack


def _handshakes(target: Target) -> Attack:
    """Whole ones, of TLS where the server has a certificate; then the end."""

    def attack() -> None:
        with target.connect():
            pass

    return attack


def _in_one_packet(target: Target, sent: bytes) -> Attack:
    """And reads the answers for as long as they come."""

    def attack() -> None:
        with target.connect() as connection:
            connection.settimeout(1.0)
            with suppress(TimeoutError):
                connection.sendall(sent)
                while connection.recv(1 << 20):
                    pass

    return attack


def _pipelined(request: bytes) -> Prepare:
    return partial(_in_one_packet, sent=request * _PIPELINED)


def _get(path: bytes) -> bytes:
    return b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n" % path


ATTACKS: Mapping[str, Prepare] = {
    "900 idle connections": partial(_held, count=_IDLE),
    "900 unfinished heads": partial(_held, count=_IDLE, sent=b"GET /health HTTP/1.1\r\nx: "),
    "200 slow bodies": _slow_bodies,
    "200 requests that wait for a flush": _waiting_flushes,
    "connections opened and closed": _flood,
    "connections opened and reset": partial(_flood, reset=True),
    "connections reset within a head": partial(_flood, sent=b"GET /hea", reset=True),
    "connections reset before the answer": partial(_flood, sent=_get(b"/openapi.json"), reset=True),
    "whole handshakes": _handshakes,
    "`/openapi.json` 500 times in a packet": _pipelined(_get(b"/openapi.json")),
    "`/metrics` 500 times in a packet": _pipelined(_get(b"/metrics")),
    "`/v1/drain` 500 times in a packet": _pipelined(_DRAIN + b"\r\n"),
    "bodies in chunks of one byte": partial(
        _in_one_packet, sent=_HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000
    ),
}

"""Connections that begin TLS and do not end it: they count, they give way, and they end."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.attack.beside import check_beside
from tests.attack.test_connections import descriptors, reset, send
from tests.doors.http.serving import Server, server
from tests.doors.http.test_connection import everything
from tests.services.certificates import certificate
from timestore_pipeline.system import clock

pytestmark = pytest.mark.service

CONNECTIONS = 64  # of the server; fewer than usual
HALF_OPEN = 200
NEVER = 600.0  # seconds; what gives way must not do so because its time is over


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    limits = {"connections": CONNECTIONS, "connections_of_one": CONNECTIONS}
    patience = {"handshake_seconds": NEVER, "farewell_seconds": NEVER, "head_seconds": NEVER}
    with server(home, limits=limits | patience, **certificate(home).settings) as running:
        yield running


def connects_now(running: Server) -> None:
    with running.client() as client:
        assert client.get("/ready").status_code == 200


def hello() -> bytes:
    """The first flight of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("share", [0, 5, 100, 1000], ids=["nothing", "five bytes", "a part", "a whole hello"])
def test_half_open_handshakes_give_way_and_take_no_more_descriptors_than_connections(
    running: Server, share: int
) -> None:
    before, begun = descriptors(running), hello()[:share]

    def attack() -> None:
        with ExitStack() as wave:
            for _ in range(20):
                send(wave.enter_context(running.connect()), begun)
            clock.sleep(0.05)  # the good client is a thread of the same process

    with ExitStack() as stack:
        for _ in range(HALF_OPEN):
            send(stack.enter_context(running.connect()), begun)
        check_beside(running, attack)
        connects_now(running)
        assert descriptors(running) < before + CONNECTIONS + 20
    assert "Traceback" not in running.log.read_text()


def test_handshakes_that_are_reset_or_are_none_leave_nothing(running: Server) -> None:
    first, before = hello(), descriptors(running)

    def attack() -> None:
        for number in range(30):
            reset(running, first[: 40 * number])
            reset(running, b"\x16\x03\x01\x40\x00" + b"\xff" * number)
            reset(running, b"GET / HTTP/1.1\r\n\r\n")
        clock.sleep(0.02)  # the good client is a thread of the same process

    written = running.log.stat().st_size
    check_beside(running, attack)
    assert descriptors(running) <= before + CONNECTIONS + 20
    assert "Traceback" not in running.log.read_text()[written:]


def test_a_handshake_that_drips_is_ended(tmp_path: Path) -> None:
    with server(tmp_path, limits={"handshake_seconds": 1.0}, **certificate(tmp_path).settings) as running:
        connects_now(running)
        process = psutil.Process(running.process.pid)
        before = process.num_fds()
        with running.connect() as connection:
            connection.settimeout(0.2)
            for byte in hello():  # 500 of them, in 100 seconds if nothing ends it
                send(connection, bytes([byte]))
                try:
                    assert connection.recv(1) == b""
                    break
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    break
            else:
                pytest.fail("the whole handshake was waited for")
            assert process.num_fds() <= before
    assert "Traceback" not in running.log.read_text()


def test_idle_connections_give_way_though_they_do_not_confirm_the_end_of_tls(running: Server) -> None:
    context = ssl.create_default_context(cafile=running.ca)
    with ExitStack() as stack:
        for _ in range(2 * CONNECTIONS):
            raw = stack.enter_context(running.connect())
            stack.enter_context(context.wrap_socket(raw, server_hostname="localhost"))
        check_beside(running, lambda: None)
        connects_now(running)


def test_one_that_gave_way_finds_its_connection_closed(running: Server) -> None:
    with running.connect() as first, ExitStack() as stack:
        for _ in range(2 * CONNECTIONS):
            stack.enter_context(socket.create_connection(running.address))
        assert everything(first) == b""

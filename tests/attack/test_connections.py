"""Connections that ask little and take much: they ask nothing, are reset, dawdle, or send thousands of requests."""

from __future__ import annotations

import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from tests.attack.beside import check_beside
from tests.doors.http.serving import Server, post, server, stream, table
from tests.doors.http.test_connection import everything
from timestore_pipeline.system import clock

CONNECTIONS = 64  # of the server; fewer than usual, so that the attacks are short
TOKEN = "t" * 20
HEAD = b"POST /v1/datasets/d/batches HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\n"
DESCRIPTION = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {"connections": CONNECTIONS, "connections_of_one": CONNECTIONS}
    with server(tmp_path_factory.mktemp("home"), limits=limits) as running:
        yield running


def descriptors(running: Server) -> int:
    return int(psutil.Process(running.process.pid).num_fds())


def send(connection: socket.socket, sent: bytes) -> None:
    """It may have been answered, and closed, before all is sent."""
    with suppress(ConnectionError, TimeoutError):
        connection.sendall(sent)


def test_connections_that_ask_nothing_give_way(running: Server) -> None:
    with ExitStack() as stack:

        def connect() -> None:
            for _ in range(3 * CONNECTIONS):
                stack.enter_context(running.connect())

        before = descriptors(running)
        connect()
        check_beside(running, lambda: None)
        assert descriptors(running) < before + CONNECTIONS + 20


def test_bodies_that_never_end_keep_nobody_waiting(running: Server) -> None:
    with ExitStack() as stack:
        for _ in range(2 * CONNECTIONS):
            send(stack.enter_context(running.connect()), HEAD + b"content-length: 1000\r\n\r\na\n1\n")
        check_beside(running, lambda: None)


def reset(running: Server, sent: bytes) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.connect(running.address)
        send(connection, sent)


def test_connections_that_are_reset_leave_no_descriptor_and_no_line_in_the_log(running: Server) -> None:
    before, most = descriptors(running), list[int]()

    def attack() -> None:
        for number in range(50):
            reset(running, DESCRIPTION[: number % len(DESCRIPTION)])
        most.append(descriptors(running))
        clock.sleep(0.02)  # the good client is a thread of the same process

    written = running.log.stat().st_size
    check_beside(running, attack, attackers=2)
    assert max(most) <= before + CONNECTIONS + 40  # the good client's, and its bodies'
    told = running.log.read_text()[written:]
    assert "Traceback" not in told


def test_many_requests_in_one_packet_hold_up_others_by_one_of_them(running: Server) -> None:
    def attack() -> None:
        with running.connect() as connection:
            connection.settimeout(1)
            send(connection, DESCRIPTION * 500)
            with suppress(TimeoutError):
                while connection.recv(1 << 20):
                    pass

    check_beside(running, attack, attackers=4)


@pytest.mark.parametrize(
    ("headers", "status"), [(b"", b"400"), (b"x: " + b"y" * 20_000 + b"\r\n", b"400"), (b"x: y\r\n" * 200, b"400")]
)
def test_bodies_in_chunks_of_a_byte_are_refused_early(running: Server, headers: bytes, status: bytes) -> None:
    sent = HEAD + headers + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000
    answers = list[bytes]()

    def attack() -> None:
        with running.connect() as connection:
            send(connection, sent)
            answers.append(everything(connection)[:20])

    check_beside(running, attack, attackers=4)
    assert {answer[9:12] for answer in answers} <= {status, b""}


def test_strangers_that_send_at_once_are_served_one_after_the_other(tmp_path: Path) -> None:
    """And none is taken for one whose head is late, though its body takes longer than a head may."""
    rows = HEAD + b"content-length: 8\r\nconnection: close\r\n\r\na\n1\n"
    with server(tmp_path, limits={"head_seconds": 0.5}) as running, ExitStack() as stack:
        strangers = [stack.enter_context(running.connect()) for _ in range(CONNECTIONS)]
        for stranger in strangers:
            stranger.sendall(rows)
        clock.sleep(1.0)
        for stranger in strangers:
            stranger.sendall(b"2\n3\n")
        assert {everything(stranger)[9:12] for stranger in strangers} == {b"201"}


def test_after_all_of_them_descriptors_threads_and_memory_are_what_they_were(running: Server) -> None:
    process = psutil.Process(running.process.pid)
    with running.client() as client:
        post(client, stream(table(1)))
    before = process.num_fds(), process.num_threads(), process.memory_info().rss
    with ExitStack() as stack:
        for number in range(3 * CONNECTIONS):
            reset(running, DESCRIPTION[:number])
            connection = stack.enter_context(running.connect())
            send(connection, HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * number)
    with running.client() as client:
        while process.num_fds() > before[0] + 2:  # this client's, and one that another may have kept
            assert client.get("/health").status_code == 200
            clock.sleep(0.05)
    assert process.num_threads() <= before[1] + 8  # of pools that start their threads when they are needed
    assert process.memory_info().rss < before[2] + (64 << 20)


def test_without_the_token_no_body_is_looked_at(tmp_path: Path) -> None:
    """Whatever it is, and however it arrives."""
    chunks = b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000
    with server(tmp_path, api_token=TOKEN) as running:
        for headers in (chunks, b"expect: 100-continue\r\ncontent-length: 99999999999\r\n\r\n"):
            with running.connect() as connection:
                before = cpu_seconds(running)
                send(connection, HEAD + headers)
                assert everything(connection)[9:12] in (b"401", b"400")
                assert cpu_seconds(running) < before + 1
        assert list((tmp_path / "staging" / "spool").glob("*/*")) == []


def cpu_seconds(running: Server) -> float:
    times = psutil.Process(running.process.pid).cpu_times()
    return float(times.user + times.system)


def test_questions_of_one_address_leave_places_for_others(tmp_path: Path) -> None:
    with server(tmp_path, limits={"questions_of_one": 0}) as running, running.client() as client:
        for asked in (client.get("/v1/datasets"), client.get("/v1/datasets/d"), client.post("/v1/datasets/d/flush")):
            assert asked.status_code == 429
            assert "0 questions from one address" in asked.json()["detail"]
        assert client.get("/ready").status_code == 200
        assert post(client, stream(table(1))).status_code == 201


def test_the_limit_on_open_files_is_met_in_one_line(tmp_path: Path) -> None:
    with server(tmp_path, "--quiet") as running:
        process = psutil.Process(running.process.pid)
        running.readers()
        before = process.rlimit(resource.RLIMIT_NOFILE)
        process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds() + 5, before[1]))
        for _ in range(500):
            reset(running, b"GET /hea")
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(running.connect())
            assert "new connections wait" in running.logged("Too many open files")
            process.rlimit(resource.RLIMIT_NOFILE, before)
        with running.client() as client:
            assert client.get("/ready").status_code == 200
        assert running.log.read_text().count("\n") < 5

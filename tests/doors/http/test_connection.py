"""What is not HTTP, breaks off or dawdles is ended, with an answer where one can still be read."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.doors.http.serving import Server, post, server, staged_batches, stream, table
from timestore_pipeline.system import clock

DATASETS = b"GET /v1/datasets HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
HEAD = b"POST /v1/datasets/d/batches HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\n"


def everything(connection: socket.socket) -> bytes:
    """What the server sends until it closes."""
    pieces = []
    try:
        while piece := connection.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    return int(head.split()[1]), json.loads(body)["code"]


def answer_to(running: Server, *pieces: bytes, close_sending: bool = False) -> bytes:
    """What it answers; it may have done so, and hung up, before all the pieces are sent."""
    with running.connect() as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                connection.sendall(piece)
        if close_sending:
            connection.shutdown(socket.SHUT_WR)
        return everything(connection)


@pytest.mark.parametrize(
    "request_",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        HEAD + b"content-length: 4\r\ncontent-length: 5\r\n\r\na\n1\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"transfer-encoding: gzip\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n",
        HEAD + b"".join(b"x%d: y\r\n" % number for number in range(20_000)) + b"\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n",
    ],
    ids=[
        "text", "TLS", "two lengths", "negative length", "unknown transfer", "bad chunk",
        "large header", "many headers", "long path", "no host", "no colon",
    ],
)  # fmt: skip
def test_what_is_not_http_is_400(shared: Server, request_: bytes) -> None:
    assert problem(answer_to(shared, request_)) in [(400, "invalid_request"), (501, "invalid_request")]


@pytest.mark.parametrize(
    "length", [b"content-length: 100\r\n\r\na\n1\n", b"transfer-encoding: chunked\r\n\r\n4\r\na\n1\n\r\n"]
)
def test_a_body_that_breaks_off_is_400_and_nothing_is_staged(home: Path, length: bytes) -> None:
    with server(home) as running:
        assert problem(answer_to(running, HEAD + length, close_sending=True)) == (400, "unreadable_input")
        running.stop()
    assert staged_batches(home) == 0


def test_a_client_that_is_gone_before_its_body_was_complete_staged_nothing(home: Path) -> None:
    with server(home) as running:
        with running.connect() as connection:
            connection.sendall(HEAD + b"content-length: 100\r\n\r\na\n1\n")
        with running.client() as client:
            assert client.get("/v1/datasets").json()["datasets"] == []
        running.stop()


def test_a_client_that_has_said_everything_still_gets_its_answer(shared: Server) -> None:
    answer = answer_to(shared, HEAD + b"content-length: 4\r\n\r\na\n1\n", close_sending=True)
    assert answer.startswith(b"HTTP/1.1 201 Created")


def test_a_refusal_reaches_a_client_that_sends_before_it_listens(shared: Server) -> None:
    body = b"x" * 900_000
    request = (
        b"POST /v1/datasets/d/batches HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    )
    assert problem(answer_to(shared, request + b"content-length: %d\r\n\r\n" % len(body), body)) == (
        415,
        "unsupported_type",
    )


def test_a_body_that_waits_to_be_asked_for_is_refused_unread(shared: Server) -> None:
    answer = answer_to(shared, HEAD + b"expect: 100-continue\r\ncontent-length: 99999999\r\n\r\n")
    assert problem(answer) == (413, "body_too_large")


def test_requests_that_follow_each_other_unasked_are_answered_in_order(shared: Server) -> None:
    one, two = (
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /none HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    )
    answers = answer_to(shared, one + one + two)
    assert [part.split()[0] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404"]


@pytest.mark.parametrize(
    ("limits", "sent", "expected"),
    [
        ({"head_seconds": 0.3}, b"", (408, "slow_request")),
        ({"head_seconds": 0.3}, b"GET /health HTTP/1.1\r\nho", (408, "slow_request")),
        ({"idle_seconds": 0.3}, HEAD + b"content-length: 4\r\n\r\na", (408, "slow_request")),
        ({"grace_seconds": 0.3}, HEAD + b"content-length: 4\r\n\r\na", (408, "slow_request")),
    ],
    ids=["says nothing", "stops in the head", "stops in the body", "is too slow"],
)
def test_a_client_that_dawdles_is_ended(
    home: Path, limits: dict[str, Any], sent: bytes, expected: tuple[int, str]
) -> None:
    with server(home, limits=limits) as running:
        assert problem(answer_to(running, sent)) == expected


def test_a_second_request_that_dawdles_is_ended_too(home: Path) -> None:
    with server(home, limits={"head_seconds": 5.0}) as running, running.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")
        assert problem(everything(connection)) == (408, "slow_request")


def test_an_idle_connection_is_closed(home: Path) -> None:
    with server(home, limits={"keep_alive_seconds": 1}) as running, running.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert everything(connection).count(b"HTTP/1.1") == 1


def test_at_the_limit_a_connection_that_asks_nothing_gives_way(home: Path) -> None:
    with server(home, limits={"connections": 3}) as running, ExitStack() as stack:
        silent = [stack.enter_context(running.connect()) for _ in range(3)]
        with running.client() as client:
            assert client.get("/v1/datasets").status_code == 200
        assert problem(everything(silent[0])) == (503, "server_busy")


def at_work(running: Server) -> socket.socket:
    """A connection whose request is taken in: until then it would give way to the next one."""
    working = running.connect()
    working.sendall(HEAD + b"content-length: 4\r\n\r\na\n1\n")
    clock.sleep(0.5)
    return working


def test_where_all_connections_are_at_work_the_last_ones_are_for_probes(home: Path) -> None:
    with server(home, limits={"connections": 1}) as running:
        readers = running.readers()
        for reader in readers:
            reader.suspend()
        while not answer_to(running, DATASETS).startswith(b"HTTP/1.1 429"):
            working = at_work(running)
        for path in (b"/health", b"/ready", b"/metrics"):
            probe = b"GET %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" % path
            assert answer_to(running, probe).startswith(b"HTTP/1.1 200")
        for reader in readers:
            reader.resume()
        with closing(working):
            assert working.recv(65_536).startswith(b"HTTP/1.1 201")


def test_a_reader_that_takes_too_long_is_killed_and_the_next_body_is_read(home: Path) -> None:
    with server(home, limits={"parse_seconds": 0.0, "parsers": 1}) as running, running.client() as client:
        answer = post(client, stream(table()))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert client.get("/ready").status_code == 200


def test_answers_on_a_kept_connection_do_not_wait_for_the_clients_acknowledgements(shared: Server) -> None:
    """Each would take 40 ms; what comes first on a connection is acknowledged at once, so new ones show no wait."""
    with closing(http.client.HTTPConnection(*shared.address)) as kept:
        on_one = _seconds_of_a_hundred(lambda: nullcontext(kept))
    on_new = _seconds_of_a_hundred(lambda: closing(http.client.HTTPConnection(*shared.address)))
    assert on_one < 3 * on_new


def _seconds_of_a_hundred(connect: Callable[[], AbstractContextManager[http.client.HTTPConnection]]) -> float:
    started = clock.monotonic()
    for _ in range(100):
        with connect() as connection:
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b'{"status":"alive"}'
    return clock.monotonic() - started

"""HTTP is as strict on every route as for batches; what is ambiguous or foreign ends the connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doors.http.serving import Server, server
from tests.doors.http.test_connection import answer_to, problem

ROUTES = [
    (b"GET", b"/health"),
    (b"GET", b"/openapi.json"),
    (b"GET", b"/metrics"),
    (b"GET", b"/v1/datasets"),
    (b"POST", b"/v1/datasets/d/flush"),
    (b"POST", b"/v1/flush?wait=300"),
    (b"POST", b"/v1/drain?wait=300"),
    (b"POST", b"/v1/datasets/d/batches"),
    (b"PUT", b"/v1/datasets/d/metadata"),
    (b"GET", b"/nowhere"),
    (b"DELETE", b"/v1/datasets"),
]
NEXT = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"  # what a smuggled request would be


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("home")) as running:
        yield running


def refused_and_closed(running: Server, request: bytes, expected: tuple[int, str]) -> None:
    answer = answer_to(running, request)
    assert problem(answer) == expected
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_two_lengths_of_a_body_are_refused(running: Server, method: bytes, path: bytes) -> None:
    head = b"%s %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
    refused_and_closed(running, head % (method, path) + b"0\r\n\r\n" + NEXT, (400, "unreadable_input"))


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_chunks_in_http_1_0_are_refused(running: Server, method: bytes, path: bytes) -> None:
    head = b"%s %s HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n"
    refused_and_closed(running, head % (method, path) + b"0\r\n\r\n" + NEXT, (400, "unreadable_input"))


@pytest.mark.parametrize(
    "header",
    [
        b"transfer-encoding:\r\n chunked",
        b"transfer-encoding: chunked\r\n\t",
        b"x: y\r\n content-length: 5\r\ntransfer-encoding: chunked",
        b"x: y\n z\r\ntransfer-encoding: chunked",
        b"transfer-encoding : chunked",
        b"transfer-encoding: chunked, identity",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        b"content-length: 5\r\ncontent-length: 6",
        b"content-length: +5",
    ],
)
def test_a_length_that_a_proxy_may_not_see_or_read_otherwise_is_refused(running: Server, header: bytes) -> None:
    body = b"5\r\n{}   \r\n0\r\n\r\n"
    for start in (b"", NEXT):  # also behind another request in the same packet
        answer = answer_to(
            running, start + b"POST /v1/flush HTTP/1.1\r\nhost: localhost\r\n%s\r\n\r\n" % header + body + NEXT
        )
        assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"400"][not start :]
        assert b'"invalid_request"' in answer


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0"])
def test_other_versions_are_refused_and_closed(running: Server, version: bytes) -> None:
    refused_and_closed(
        running, b"GET /health HTTP/%s\r\nhost: localhost\r\n\r\n" % version + NEXT, (400, "invalid_request")
    )


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", [b"x: " + b"y" * 17_000, b"\r\n".join([b"x: y"] * 101)], ids=["long", "many"])
def test_heads_above_the_limit_are_refused_however_they_arrive(
    running: Server, method: bytes, path: bytes, header: bytes
) -> None:
    head = b"%s %s HTTP/1.1\r\nhost: localhost\r\n%s\r\n\r\n" % (method, path, header)
    refused_and_closed(running, head, (400, "invalid_request"))
    answer = answer_to(running, *(head[place : place + 1_000] for place in range(0, len(head), 1_000)))
    assert problem(answer) == (400, "invalid_request")


@pytest.mark.parametrize(
    "foreign",
    [b"origin: http://evil.example", b"origin: null", b"origin: http://localhost:3000", b"sec-fetch-site: cross-site"],
)
@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] != b"GET"])
def test_a_page_of_another_site_changes_nothing(running: Server, method: bytes, path: bytes, foreign: bytes) -> None:
    head = b"%s %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\ncontent-length: 4\r\n%s\r\n\r\na\n1\n"
    refused_and_closed(running, head % (method, path, foreign) + NEXT, (403, "foreign_site"))
    assert b'"datasets":[]' in answer_to(running, b"GET /v1/datasets HTTP/1.0\r\nhost: localhost\r\n\r\n")


def test_a_page_of_this_server_may_ask(running: Server) -> None:
    head = b"POST /v1/datasets/d/flush HTTP/1.1\r\nhost: localhost:8451\r\norigin: http://localhost:8451\r\n"
    answer = answer_to(running, head + b"sec-fetch-site: same-origin\r\nconnection: close\r\n\r\n")
    assert problem(answer) == (404, "unknown_dataset")


@pytest.mark.parametrize(
    "request_",
    [b"hello\r\n\r\n", b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n", b"GET /\x1b[31m HTTP/1.1\r\n\r\n"],
    ids=["text", "version", "escape"],
)
def test_the_log_says_who_sent_what_is_not_http(tmp_path: Path, request_: bytes) -> None:
    with server(tmp_path) as running:
        answer_to(running, request_)
        assert "client=127.0.0.1" in running.logged("malformed http request")
        assert "WARNING" not in running.log.read_text()


def test_a_request_to_speak_another_protocol_is_answered_as_if_it_were_none(tmp_path: Path) -> None:
    upgrade = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, close\r\nupgrade: %s\r\n\r\n"
    with server(tmp_path) as running:
        for protocol in (b"websocket", b"h2c"):
            assert answer_to(running, upgrade % protocol).startswith(b"HTTP/1.1 200 OK")
        assert "upgrade" not in running.log.read_text()


def test_a_bug_is_one_line_with_the_requests_id(tmp_path: Path) -> None:
    with server(tmp_path, limits={"metadata_bytes": "a bug"}) as running:
        head = (
            b"PUT /v1/datasets/d/metadata HTTP/1.1\r\nhost: localhost\r\nx-request-id: unlucky\r\nconnection: close\r\n"
        )
        answer = answer_to(running, head + b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        assert problem(answer) == (500, "internal_error")
        line = running.logged("http request failed")
        assert "error=TypeError" in line
        assert "request_id=unlucky" in line
        assert "Traceback" not in running.log.read_text()

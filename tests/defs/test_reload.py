"""Asking for a reload: what is sent, and that no answer breaks the tick. `tests/live` sees what comes of it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RegisteredCodeLocationOrigin

from tests.defs.web_server import serving
from timestore_pipeline.defs import reload
from timestore_pipeline.defs.reload import LOCATION, ask_code_server, ask_web_server, reloading


def test_the_code_location_is_asked_for_by_name() -> None:
    with serving() as server:
        assert ask_web_server(f"{server.url}/")
    [asked] = server.asked
    assert (asked["path"], asked["variables"]) == ("/graphql", {"location": LOCATION})


def test_a_reload_that_takes_its_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "_PATIENCE", 0.05)
    with serving(silent=True) as server:
        assert ask_web_server(server.url)


@pytest.mark.parametrize("typename", ["ReloadNotSupported", "RepositoryLocationNotFound", "UnauthorizedError"])
def test_a_refusal_is_logged_with_its_reason(typename: str, caplog: pytest.LogCaptureFixture) -> None:
    with serving(typename) as server:
        assert not ask_web_server(server.url)
    assert typename in caplog.text


@pytest.mark.parametrize("raw", ["<html>", "[]", '{"data": null}', '{"errors": ["no such mutation"]}', "3"])
def test_a_server_that_is_not_dagster_is_logged(raw: str, caplog: pytest.LogCaptureFixture) -> None:
    with serving(raw=raw) as server:
        assert not ask_web_server(server.url)
    assert server.url in caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "no url at all", "http://[::bad"])
def test_a_server_that_is_not_there_is_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not ask_web_server(url)
    assert "was not asked to reload" in caplog.text


def test_a_password_in_the_address_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert not ask_web_server("http://user:secret@127.0.0.1:9")
    assert "http://127.0.0.1:9" in caplog.text
    assert "secret" not in caplog.text


def test_of_an_answer_without_an_end_no_more_is_read_than_has_arrived() -> None:
    sent = 0

    def pour(listener: socket.socket) -> None:
        nonlocal sent
        line, _ = listener.accept()
        with line, suppress(OSError):
            line.recv(1 << 16)
            line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(256):
                sent += line.send(b"x" * (1 << 20))

    with socket.create_server(("127.0.0.1", 0)) as endless:
        pouring = threading.Thread(target=pour, args=(endless,))
        pouring.start()
        assert not ask_web_server(f"http://127.0.0.1:{endless.getsockname()[1]}")
        pouring.join()
    assert sent < 64 << 20


def test_a_code_server_that_reloads_for_long_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert ask_code_server(GrpcServerCodeLocationOrigin("127.0.0.1", silent.getsockname()[1]))


def test_a_code_server_that_is_not_there_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert not ask_code_server(GrpcServerCodeLocationOrigin("127.0.0.1", 9))
    assert "the code server at {'host': '127.0.0.1', 'port': '9'} was not asked to reload" in caplog.text


def test_a_process_of_the_daemons_own_is_not_asked_and_the_web_server_is() -> None:
    own = RegisteredCodeLocationOrigin(LOCATION)
    assert reloading(own, None) is None
    with serving() as server:
        ask = reloading(own, server.url)
        assert ask is not None
        assert ask()
    assert len(server.asked) == 1

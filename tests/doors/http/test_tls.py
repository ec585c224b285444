"""TLS on a real server: only to clients that it can convince, at least TLS 1.2, and renewed without a restart."""

from __future__ import annotations

import shutil
import socket
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.doors.http.serving import Server, post, server, stream, table
from tests.doors.http.test_connection import everything
from tests.services.certificates import certificate
from timestore_pipeline.client import Client, Retry
from timestore_pipeline.errors import InvalidInput
from timestore_pipeline.system import clock

pytestmark = pytest.mark.service

TOKEN = "hush-hush-4711"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    with server(home, api_token=TOKEN, **certificate(home).settings) as running:
        yield running


def trusting(running: Server, **options: object) -> Client:
    return Client(running.url, token=TOKEN, ca_file=str(running.ca), **options)  # type: ignore[arg-type]


def test_a_client_with_the_ca_stages_on_one_connection(running: Server) -> None:
    assert running.url.startswith("https://")
    with trusting(running) as sender:
        assert [sender.send("good", table(10, first)).rows for first in (0, 10)] == [10, 10]
        assert sender.send("good", table(40_000, 100)).rows == 40_000
        with sender.batcher("good") as batcher:
            batcher.add(table(5, 1_000_000))


@pytest.mark.parametrize("ca", ["none", "another", "another name"])
def test_a_client_that_does_not_trust_the_server_sends_it_nothing(running: Server, tmp_path: Path, ca: str) -> None:
    url = running.url.replace("127.0.0.1", "127.1") if ca == "another name" else running.url
    files = {"none": None, "another": str(certificate(tmp_path, "other").certificate), "another name": str(running.ca)}
    sender = Client(url, token=TOKEN, ca_file=files[ca], retry=Retry(patience=60))
    with sender, pytest.raises(InvalidInput, match="is not trusted") as refused:
        sender.send("good", table(1))
    assert "ca_file" in refused.value.hint


@pytest.mark.parametrize(("url", "ca"), [("http://127.0.0.1:1", "ca.pem"), ("https://127.0.0.1:1", "no/such/file")])
def test_a_ca_file_that_cannot_be_used_is_refused_at_once(url: str, ca: str) -> None:
    with pytest.raises(InvalidInput, match=r"ca_file|no/such/file"):
        Client(url, ca_file=ca)


def version(running: Server, wanted: ssl.TLSVersion) -> str | None:
    """The version that both sides agree on; the client accepts no other."""
    context = ssl.create_default_context(cafile=running.ca)
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # else the client itself refuses the old ones
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = wanted
    with running.connect() as raw, context.wrap_socket(raw, server_hostname="localhost") as connection:
        return connection.version()


def test_older_versions_than_tls_1_2_are_refused(running: Server) -> None:
    assert version(running, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert version(running, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(ssl.SSLError, match=r"EOF|ALERT_PROTOCOL_VERSION"):
            version(running, old)


def test_plain_http_gets_no_answer_of_the_api(running: Server) -> None:
    with running.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"HTTP/1.1" not in everything(connection)


def test_a_client_that_ends_its_side_early_costs_nothing(running: Server) -> None:
    """TLS cannot be closed in one direction; nothing of it is logged, or stays open."""
    context = ssl.create_default_context(cafile=running.ca)
    for sent in (b"", b"GET /he", b"POST /v1/datasets/d/batches HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nab"):
        with context.wrap_socket(running.connect(), server_hostname="localhost") as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            everything(connection)
    with running.client() as client:
        assert client.get("/health").status_code == 200
    assert "Traceback" not in running.log.read_text()
    assert "eof_received" not in running.log.read_text()


def test_a_renewed_certificate_is_in_force_without_a_restart(tmp_path: Path) -> None:
    first, second = certificate(tmp_path), certificate(tmp_path, "renewed")
    with server(tmp_path, **first.settings) as running, running.client() as old:
        assert old.get("/health").status_code == 200
        shutil.copy(second.key, first.key)
        shutil.copy(second.certificate, first.certificate)  # which the next client trusts, and no other
        deadline = clock.monotonic() + 60
        while not is_trusted(running):
            assert clock.monotonic() < deadline
            clock.sleep(0.1)
        assert old.get("/health").status_code == 200, "an open connection keeps its certificate"


def is_trusted(running: Server) -> bool:
    with running.client() as client:
        try:
            return post(client, stream(table(1))).status_code == 201
        except httpx.ConnectError:
            return False

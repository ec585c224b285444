"""Behind nginx, configured as documented: TLS to the client, one kept connection to the server, errors as they are."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.doors.http.serving import Server, published, server, table
from tests.services.certificates import Certificate, certificate
from tests.services.nginx import nginx
from timestore_pipeline.client import Client
from timestore_pipeline.doors.access.gate import Right, new_token
from timestore_pipeline.errors import Forbidden, InvalidInput, InvalidToken

pytestmark = pytest.mark.service

SECRET, TOKEN = new_token("station-a", [Right.STAGE], ["d"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def made(home: Path) -> Certificate:
    return certificate(home, "proxy")


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[Server]:
    tokens = home / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(TOKEN.line)
    with server(home, api_tokens_file=tokens) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(home: Path, made: Certificate, running: Server) -> Iterator[str]:
    with nginx(home, running.url.removeprefix("http://"), made) as url:
        yield url


def sender(proxy: str, made: Certificate, token: str = SECRET) -> Client:
    return Client(proxy, token=token, ca_file=str(made.certificate))


def test_batches_short_and_long_pass_the_proxy(proxy: str, made: Certificate, home: Path) -> None:
    with sender(proxy, made) as client:
        assert client.send("d", table(10), idempotency_key="first").duplicate is False
        assert client.send("d", table(10), idempotency_key="first").duplicate is True
        assert client.send("d", table(200_000, 10)).rows == 200_000
    assert published(home) == list(range(200_010))


def test_the_servers_refusals_arrive_as_its_errors(proxy: str, made: Certificate) -> None:
    with sender(proxy, made) as client, pytest.raises(Forbidden) as forbidden:
        client.send("other", table(1))
    assert (forbidden.value.token, forbidden.value.right, forbidden.value.dataset) == ("station-a", "stage", "other")
    with sender(proxy, made, "wrong") as client, pytest.raises(InvalidToken):
        client.send("d", table(1))


def test_the_proxy_is_trusted_by_its_certificate_only(proxy: str, tmp_path: Path) -> None:
    other = certificate(tmp_path, "other")
    with sender(proxy, other) as client, pytest.raises(InvalidInput, match="is not trusted"):
        client.send("d", table(1))


def test_host_and_request_id_reach_the_server(proxy: str, made: Certificate, running: Server) -> None:
    """A page that the proxy serves may ask; a page of another site may not."""
    trusted = ssl.create_default_context(cafile=made.certificate)
    with httpx.Client(base_url=proxy, verify=trusted, headers={"authorization": f"Bearer {SECRET}"}) as client:
        ours = client.post("/v1/datasets/d/flush", headers={"origin": proxy, "x-request-id": "by-proxy"})
        theirs = client.post("/v1/datasets/d/flush", headers={"origin": "https://evil.example"})
    assert (ours.status_code, ours.json()["code"]) == (403, "forbidden")
    assert (theirs.status_code, theirs.json()["code"]) == (403, "foreign_site")
    assert "token=station-a" in running.logged("request_id=by-proxy")

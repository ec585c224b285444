"""Requests without the token are refused; a server without a token refuses requests from other machines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from tests.doors.http.serving import ROOT, Server, post, server, stream, table
from timestore_pipeline.doors.access.gate import Gate
from timestore_pipeline.doors.http.hosts import check_binding, check_host, is_loopback
from timestore_pipeline.doors.http.operations import OPERATIONS
from timestore_pipeline.errors import ForeignHost, InvalidSettings, InvalidToken, Unauthenticated

TOKEN = "hush-hush-4711"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("home"), api_token=TOKEN) as running:
        yield running


def statuses(client: httpx.Client) -> dict[str, int]:
    paths = {operation.id: operation.path.replace("{dataset}", "d") for operation in OPERATIONS}
    return {operation.id: client.request(operation.method, paths[operation.id]).status_code for operation in OPERATIONS}


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [(None, 401), ("", 401), ("Basic abc", 401), ("Bearer", 401), ("Bearer wrong", 401), (f"Bearer {TOKEN}x", 401)],
)
def test_only_probes_and_the_description_answer_without_the_token(
    guarded: Server, authorization: str | None, expected: int
) -> None:
    with guarded.client(headers={} if authorization is None else {"authorization": authorization}) as client:
        found = statuses(client)
    for operation in OPERATIONS:
        assert found[operation.id] == (expected if operation.protected else 200), operation.id


def test_the_token_lets_in(guarded: Server) -> None:
    with guarded.client(headers={"authorization": f"bearer {TOKEN}"}) as client:
        assert post(client, stream(table())).status_code == 201
        assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8451", "127.0.0.1", "127.0.0.1:1", "[::1]:8451", "127.8.8.8"])
def test_without_a_token_this_machine_is_known_by_these_names(host: str) -> None:
    check_host(True, [host])


@pytest.mark.parametrize(
    "hosts",
    [[], ["evil.example"], ["localhost.evil.example"], ["127.0.0.1.evil.example:80"], ["10.0.0.1"], [""], ["[::"],
     ["localhost", "evil.example"], ["localhost@evil.example"], ["evil.example@localhost"], ["[::2]"]],
)  # fmt: skip
def test_without_a_token_any_other_name_is_refused(hosts: list[str]) -> None:
    with pytest.raises(ForeignHost):
        check_host(True, hosts)
    check_host(False, hosts)


def test_a_rebound_name_reaches_nothing_of_a_server_without_a_token(tmp_path: Path) -> None:
    with server(tmp_path) as running, running.client(headers={"host": "evil.example"}) as client:
        assert set(statuses(client).values()) == {421}
        assert client.get("/health", headers={"host": "localhost"}).status_code == 200


def test_a_401_says_how_to_authenticate(guarded: Server) -> None:
    with guarded.client() as client:
        assert client.get("/v1/datasets").headers["www-authenticate"].startswith("Bearer")
        wrong = client.get("/v1/datasets", headers={"authorization": "Bearer wrong"})
    assert wrong.headers["www-authenticate"].endswith('error="invalid_token"')
    assert wrong.json()["code"] == "invalid_token"


def test_the_token_stands_in_no_log(guarded: Server) -> None:
    with guarded.client(headers={"authorization": f"Bearer {TOKEN}"}) as client:
        client.get(f"/v1/datasets?token={TOKEN}")
        client.get("/v1/datasets", headers={"x-request-id": "the-last-one"})
    assert guarded.logged("the-last-one")
    assert TOKEN not in guarded.log.read_text()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "no-such-host.invalid"])
def test_beyond_loopback_a_token_is_required(host: str) -> None:
    with pytest.raises(InvalidSettings, match="TIMESTORE_API_TOKEN is unset"):
        check_binding(host, True)
    check_binding(host, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert is_loopback(host)
    check_binding(host, True)


def test_the_command_refuses_as_wrong_usage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "timestore_pipeline", "serve", "--host", "0.0.0.0", "--port", "0"]
    environment = os.environ | {"TIMESTORE_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "TIMESTORE_API_TOKEN is unset" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_authorizations_are_none() -> None:
    with pytest.raises(Unauthenticated):
        Gate(SecretStr(TOKEN)).identify([f"Bearer {TOKEN}", "Bearer other"])


def test_a_token_with_odd_bytes_is_just_wrong() -> None:
    with pytest.raises(InvalidToken):
        Gate(SecretStr(TOKEN)).identify(["Bearer \xff\x00é"])

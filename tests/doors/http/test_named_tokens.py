"""Named tokens on a real server: every route needs one right, and names appear where secrets must not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.doors.http.serving import ROOT, Server, post, server, stream, table
from timestore_pipeline.doors.access.gate import Right, new_token
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.doors.http.operations import OPERATIONS, Operation
from timestore_pipeline.system import clock

SECRETS, TOKENS = zip(
    *(
        new_token(name, [Right(right) for right in may.split(",")], datasets.split(","))
        for name, may, datasets in (
            ("station-a", "stage", "weather-*"),
            ("grafana", "read", "*"),
            ("analyst", "read", "weather-*,air"),
            ("ops", "operate", "*"),
            ("root", "stage,read,operate", "*"),
        )
    ),
    strict=True,
)
BY_NAME = dict(zip((token.name for token in TOKENS), SECRETS, strict=True))
MAY = {  # on the dataset weather-north
    "stageBatch": {"station-a", "root"},
    "requestFlush": {"ops", "root"},
    "flushAll": {"ops", "root"},
    "drain": {"ops", "root"},
    "setMetadata": {"ops", "root"},
    "listDatasets": {"grafana", "analyst", "root"},
    "getDataset": {"grafana", "analyst", "root"},
    "metrics": {"grafana", "root"},
}


def write_tokens(home: Path, *lines: str) -> Path:
    path = home / "tokens"
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    file = write_tokens(home, *(token.line for token in TOKENS))
    with server(home, api_tokens_file=file) as running:
        for dataset in ("weather-north", "air", "secret"):
            with bearer(running, "root") as client:
                assert post(client, stream(table(1)), dataset=dataset).status_code == 201
        yield running


def bearer(running: Server, name: str) -> httpx.Client:
    return running.client(headers={"authorization": f"Bearer {BY_NAME[name]}"})


def exposed_with(running: Server, line: str) -> str:
    """The exposition, once it has a line: it may be a second old."""
    deadline = clock.monotonic() + 60
    with bearer(running, "grafana") as client:
        while line not in (series := client.get("/metrics").text):
            assert clock.monotonic() < deadline, f"no line {line!r}"
            clock.sleep(0.05)
    return series


def ask(client: httpx.Client, operation: Operation, dataset: str) -> httpx.Response:
    return client.request(operation.method, operation.path.replace("{dataset}", dataset))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_route_needs_exactly_one_right(running: Server, operation: Operation) -> None:
    allowed = set()
    for name in BY_NAME:
        with bearer(running, name) as client:
            answer = ask(client, operation, "weather-north")
        if answer.status_code != 403:
            allowed.add(name)
        else:
            assert (answer.json()["token"], answer.json()["right"]) == (name, operation.right)
    assert allowed == MAY.get(operation.id, set(BY_NAME))


def test_a_route_without_a_right_is_public_and_no_other_is() -> None:
    assert {operation.id for operation in OPERATIONS if operation.right} == MAY.keys()


@pytest.mark.parametrize("dataset", ["secret", "weather", "no-such-dataset", "Weather-north", "x%00"])
def test_other_datasets_are_refused_whether_they_exist_or_not(running: Server, dataset: str) -> None:
    with bearer(running, "station-a") as client:
        answer = post(client, stream(table(1)), dataset=dataset)
        problem = answer.json()
    assert (answer.status_code, problem["code"]) == (403, "forbidden")
    assert "'station-a' may not stage the dataset" in problem["detail"]
    assert problem["dataset"] == httpx.URL(f"http://h/{dataset}").path[1:]
    assert answer.headers["www-authenticate"].endswith('error="insufficient_scope"')


def test_a_list_shows_only_what_the_token_may_read(running: Server) -> None:
    def listed(name: str) -> set[str]:
        with bearer(running, name) as client:
            return {one["dataset"] for one in client.get("/v1/datasets").json()["datasets"]}

    assert listed("analyst") == {"weather-north", "air"}
    assert listed("grafana") >= {"weather-north", "air", "secret"}


def test_a_refused_batch_is_not_read(running: Server) -> None:
    head = b"POST /v1/datasets/secret/batches HTTP/1.1\r\nhost: h\r\nauthorization: Bearer %s\r\n"
    with running.connect() as connection:
        rest = b"content-type: text/csv\r\nexpect: 100-continue\r\ncontent-length: 9999999\r\n\r\n"
        connection.sendall(head % BY_NAME["station-a"].encode() + rest)
        assert connection.recv(12) == b"HTTP/1.1 403"


def test_names_are_in_log_and_metrics_and_secrets_are_nowhere(running: Server) -> None:
    with bearer(running, "station-a") as client:
        accepted = post(client, stream(table(1)), dataset="weather-log", x_request_id="named")
        refused = post(client, stream(table(1)), dataset="secret", x_request_id="refused")
    assert (accepted.status_code, refused.status_code) == (201, 403), accepted.text
    with running.client(headers={"authorization": "Bearer guessed-4711"}) as stranger:
        stranger.get("/v1/datasets", headers={"x-request-id": "stranger"})
    assert "token=station-a" in running.logged("request_id=named")
    assert "token=station-a" in running.logged("request_id=refused")
    assert "token=" not in running.logged("request_id=stranger")
    shard = 'shard="shard-0"'
    series = exposed_with(running, f'timestore_api_requests_total{{right="read",{shard},status="401",token=""}} 1\n')
    assert f'timestore_api_requests_total{{right="stage",{shard},status="201",token="station-a"}} 1\n' in series
    assert f'timestore_api_requests_total{{right="stage",{shard},status="403",token="station-a"}}' in series
    assert f"timestore_api_tokens{{{shard}}} {len(TOKENS)}\n" in series
    assert f'timestore_api_file_refused{{file="tokens",{shard}}} 0\n' in series
    stagings = rf'^timestore_api_requests_total{{right="stage",{shard},status="(\d+)",token="[^"]*"}} (\d+)$'
    worked = sum(int(n) for status, n in re.findall(stagings, series, re.MULTILINE) if status not in ("401", "403"))
    assert f'timestore_api_request_seconds_count{{right="stage",{shard}}} {worked}\n' in series
    assert f"timestore_api_connections_limit{{{shard}}} {Limits(0).connections}\n" in series
    [connections] = re.findall(rf"^timestore_api_connections\{{{shard}\}} (\d+)$", series, re.MULTILINE)
    assert 1 <= int(connections) <= Limits(0).connections
    for shown in (series, running.log.read_text()):
        assert not [secret for secret in (*SECRETS, "guessed-4711") if secret in shown]


def test_the_page_on_monitoring_names_the_series_of_a_server(running: Server) -> None:
    with bearer(running, "grafana") as client:
        exposed = set(re.findall(r"^# TYPE (timestore_api_\w+)", client.get("/metrics").text, re.MULTILINE))
    page = (ROOT / "docs" / "timestore-observability.md").read_text()
    assert set(re.findall(r"`(timestore_api_[a-z_]+)`", page)) == exposed


def test_a_changed_file_takes_effect_and_a_broken_one_does_not(tmp_path: Path) -> None:
    by_name = {token.name: token.line for token in TOKENS}
    file = write_tokens(tmp_path, by_name["root"])
    with server(tmp_path, api_tokens_file=file) as running, bearer(running, "grafana") as client:
        assert client.get("/v1/datasets").status_code == 401
        write_tokens(tmp_path, by_name["grafana"])
        wait_for(client, 200)
        with bearer(running, "root") as revoked:
            assert revoked.get("/v1/datasets").status_code == 401
        write_tokens(tmp_path, by_name["grafana"], f"ops operate * {BY_NAME['ops']}")
        line = running.logged("the last good ones stay in force")
        assert "line 2: a digest is" in line
        assert 'file_refused{file="tokens",shard="shard-0"} 1' in client.get("/metrics").text
        assert client.get("/ready").status_code == 200
        assert BY_NAME["ops"] not in running.log.read_text()


def wait_for(client: httpx.Client, status: int) -> None:
    deadline = clock.monotonic() + 60
    while client.get("/v1/datasets").status_code != status:
        assert clock.monotonic() < deadline
        clock.sleep(0.1)


def test_a_server_does_not_start_with_a_file_that_others_may_read(tmp_path: Path) -> None:
    file = write_tokens(tmp_path, TOKENS[0].line)
    file.chmod(0o644)
    command = [sys.executable, "-m", "timestore_pipeline", "serve", "--port", "0"]
    environment = {"TIMESTORE_HOME": str(tmp_path), "TIMESTORE_API_TOKENS_FILE": str(file), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "mode 0644" in done.stderr
    assert f"chmod 600 {file}" in done.stderr

"""`timestore tokens` makes tokens, and lists what a server would accept; `doctor` says why it would not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.running import complaint, timestore, timestore_json
from timestore_pipeline.cli.app import app
from timestore_pipeline.doors.access.gate import digest_of, parse_tokens


def http_api() -> dict[str, str]:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    [found] = [check for check in json.loads(result.stdout)["checks"] if check["check"] == "http api"]
    return dict(found)


@pytest.fixture
def file(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = home / "tokens"
    monkeypatch.setenv("TIMESTORE_API_TOKENS_FILE", str(path))
    return path


def test_the_line_goes_to_a_file_and_the_token_to_its_holder(home: Path) -> None:
    options = ("--may", "stage", "--may", "read", "--dataset", "weather-*", "--dataset", "air")
    result = CliRunner().invoke(app, ["tokens", "new", "station-a", *options])
    [token] = parse_tokens(result.stdout)
    assert (token.name, token.rights, token.datasets) == ("station-a", "stage,read", ("weather-*", "air"))
    secret = result.stderr.strip().rpartition(" ")[2]
    assert digest_of(secret) == token.digest
    assert secret not in result.stdout


def test_json_has_both(home: Path) -> None:
    document = timestore_json("tokens", "new", "grafana", "--may", "read")
    [token] = parse_tokens(document["line"])
    assert (document["name"], token.datasets, token.digest) == ("grafana", ("*",), digest_of(document["token"]))


def test_a_token_without_rights_or_with_a_malformed_name_is_not_made(home: Path) -> None:
    assert "--may" in complaint("tokens", "new", "grafana", code=2)
    assert "a name is 1 to 63" in complaint("tokens", "new", "Grafana", "--may", "read")


def test_the_list_shows_rights_and_no_digest(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.touch(mode=0o600)
    file.write_text(timestore("tokens", "new", "grafana", "--may", "read"))
    monkeypatch.setenv("TIMESTORE_API_TOKEN", "hush-hush")
    assert timestore_json("tokens", "list")["tokens"] == [
        {"name": "default", "may": ["stage", "read", "operate"], "datasets": ["*"]},
        {"name": "grafana", "may": ["read"], "datasets": ["*"]},
    ]
    shown = timestore("tokens", "list")
    assert "grafana" in shown
    assert not {"hush-hush", "sha256"} & set(shown.split())
    assert http_api()["seen"] == "tokens of `timestore serve`: default, grafana"


def test_without_a_token_the_list_says_so(home: Path) -> None:
    assert "answers this machine only" in timestore("tokens", "list")
    assert "no token is set" in http_api()["seen"]


def test_a_file_that_a_server_would_refuse_is_a_failure_everywhere(file: Path) -> None:
    file.touch(mode=0o644)
    file.chmod(0o644)
    assert f"chmod 600 {file}" in complaint("tokens", "list")
    assert http_api()["remedy"] == f"chmod 600 {file}"
    file.chmod(0o600)
    file.write_text("station-a stage\n")
    assert "line 1: it has 2 columns" in complaint("tokens", "list")
    assert http_api()["status"] == "failed"

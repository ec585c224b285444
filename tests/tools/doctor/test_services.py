"""Lake, gateway and web server are asked, and what does not answer is named without its password."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from demo.processes import free_port
from tests.tools.doctor.looking import found, seen
from timestore_pipeline.tools.doctor.examination import Status


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/-/ready")
            self.end_headers()
            return
        self.send_response(200 if self.path in ("/-/ready", "/server_info") else 404)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def answering() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_not_configured_is_fine() -> None:
    assert [finding.status for check in ("pushgateway", "web server") for finding in found(check)] == [Status.OK] * 2


def test_what_answers_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering() as url:
        monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", url)
        monkeypatch.setenv("TIMESTORE_DAGSTER_WEBSERVER_URL", url)
        assert "answers 200" in seen("pushgateway", Status.OK)
        assert "answers 200" in seen("web server", Status.OK)


def test_what_answers_something_else_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering() as url:
        monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", f"{url}/elsewhere")
        assert "answers 404" in seen("pushgateway", Status.FAILED)


def test_a_gateway_that_has_moved_fails_since_no_push_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering() as url:
        monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", f"{url}/moved")
        assert "answers 302" in seen("pushgateway", Status.FAILED)


def test_a_gateway_that_is_away_fails_and_its_password_stays_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", f"http://user:geheim@127.0.0.1:{free_port()}")
    assert "does not answer: [Errno 111] Connection refused" in seen("pushgateway", Status.FAILED)
    assert "geheim" not in seen("pushgateway", Status.FAILED)


def test_a_folder_is_a_lake_that_is_not_made_by_looking(home: Path) -> None:
    assert "tables: 0; it can be written" in seen("lake", Status.OK)
    assert not home.exists()

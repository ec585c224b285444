"""Lake, gateway and web server are asked, and what does not answer is named without its password.

A landing folder into which files can be dropped, and files in it that are never taken.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from demo.processes import free_port
from tests.tools.doctor.looking import files, found, seen
from timestore_pipeline.errors import LandingUnusable
from timestore_pipeline.system import clock
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


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir()
    monkeypatch.setenv("TIMESTORE_LANDING_DIRECTORY", str(folder))
    return folder


def drop(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("n\n1\n")
    return path


def test_no_folder_is_fine_and_a_sound_one_is_not_touched(landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(landing / "weather" / "a.csv")
    before = files(landing / "weather")
    assert [finding.status for finding in found("landing")] == [Status.OK]
    assert files(landing / "weather") == before
    monkeypatch.delenv("TIMESTORE_LANDING_DIRECTORY")
    assert "is unset" in seen("landing", Status.OK)


def test_a_folder_that_is_gone_fails(landing: Path) -> None:
    landing.rmdir()
    with pytest.raises(LandingUnusable, match="is not a folder"):
        found("landing")


def test_strangers_and_rejected_files_are_reported(landing: Path) -> None:
    drop(landing / "lost.csv")
    drop(landing / "_rejected" / "weather" / "a.0123456789abcdef.csv")
    assert "lost.csv: no dataset's folder" in seen("landing", Status.WARNING)
    assert "1 rejected file(s)" in seen("landing", Status.WARNING)


def test_a_file_that_nobody_takes_fails(landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(landing / "weather" / "a.csv")
    hour_later = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: hour_later)
    assert "1 file(s) are ready for more than 600 s, such as weather/a.csv" in seen("landing", Status.FAILED)
    assert "landing_sensor" in seen("landing", Status.FAILED)


def test_a_folder_on_another_filesystem_fails(landing: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == landing.stat().st_dev:
        pytest.skip(f"needs a second filesystem at {elsewhere}")
    (landing / "_archive").symlink_to(elsewhere)
    assert "_archive lies on another filesystem" in seen("landing", Status.FAILED)


def test_a_link_in_the_place_of_a_folder_fails(landing: Path, tmp_path: Path) -> None:
    (landing / "_archive").symlink_to(tmp_path)
    assert "_archive is a link, and links are not followed" in seen("landing", Status.FAILED)
    assert "_archive: no dataset's folder" in seen("landing", Status.WARNING)

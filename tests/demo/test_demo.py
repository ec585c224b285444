"""The demo itself, on a slice of the year; `make demo` runs all of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from deltalake import DeltaTable

from demo.environment import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_DAYS = "20"
_FEW_SECONDS = "8"


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "demo", *arguments]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments), cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False
    )


def _left_running(home: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["cmdline"]) if str(home) in str(process.info["cmdline"])]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def finished(home: Path) -> subprocess.CompletedProcess[str]:
    return _run("--home", str(home), "--days", _DAYS, "--seconds", _FEW_SECONDS)


def test_a_slice_of_the_year_arrives_exactly_once(finished: subprocess.CompletedProcess[str], home: Path) -> None:
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "every row of the source was published exactly once" in finished.stdout
    assert _left_running(home) == []


def test_a_row_taken_from_the_lake_is_missed_and_named(finished: subprocess.CompletedProcess[str], home: Path) -> None:
    deleted = DeltaTable(home / "lake" / "weather").delete("origin = 'LGA' AND month = 1 AND day = 7 AND hour = 3")
    assert deleted["num_deleted_rows"] == 1
    checked = _run("check", "--home", str(home), "--days", _DAYS)
    assert checked.returncode == 1
    assert "weather: 1 rows missing, such as" in checked.stdout
    assert "exactly once" not in checked.stdout


def test_ctrl_c_stops_everything_that_was_started(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with subprocess.Popen(
        _command("--home", str(home), "--days", _DAYS), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout
        while "three producers" not in demo.stdout.readline():
            assert demo.poll() is None
        assert _left_running(home)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(120) == 130
    assert _left_running(home) == []

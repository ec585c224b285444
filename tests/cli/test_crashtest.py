"""`timestore crashtest` as a person runs it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cli.running import ROOT, command, complaint, timestore, timestore_json
from tests.tools.crashtest.processes import running
from timestore_pipeline.system import clock


@contextmanager
def endless_test(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A crash test whose producers are at work, and that would go on for hours."""
    arguments = command("crashtest", home, "--kills", "100000")
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: any("acked" in file.read_text() for file in home.glob("journals/producer-*")))
            yield process
        finally:
            process.kill()
            wait_until(lambda: running(home) == [])


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = clock.monotonic() + 120
    while not happened():
        assert clock.monotonic() < deadline
        clock.sleep(0.05)


@pytest.mark.slow
def test_the_report_says_what_was_killed_and_that_nothing_was_lost(tmp_path: Path) -> None:
    output = timestore("crashtest", tmp_path / "test", "--kills", "4", "--clean")
    assert "every acknowledged row was published exactly once" in output
    assert "killed during" in output
    assert not (tmp_path / "test").exists()


@pytest.mark.slow
def test_a_broken_product_ends_in_exit_code_1_and_keeps_the_evidence(tmp_path: Path) -> None:
    home = tmp_path / "test"
    arguments = ("--kills", "4", "--sabotage", "drop-a-row", "--clean")
    document = timestore_json("crashtest", home, *arguments, code=1)
    assert not document["ok"]
    assert document["lost_rows"] > 0
    assert any("rows are lost" in problem for problem in document["problems"])
    assert (home / "journals" / "producer-0.ndjson").exists()


def test_a_directory_that_is_in_use_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is not empty" in complaint("crashtest", tmp_path, code=2)
    assert "is not empty" in complaint("crashtest", tmp_path / "file", code=2)


def test_ctrl_c_ends_every_process_and_says_what_is_left(tmp_path: Path) -> None:
    with endless_test(tmp_path / "test") as process:
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "interrupted" in output
        assert "Traceback" not in output
        assert running(tmp_path) == []


def test_when_the_test_itself_is_killed_its_processes_go(tmp_path: Path) -> None:
    with endless_test(tmp_path / "test") as process:
        assert len(running(tmp_path)) > 1
        process.kill()
        wait_until(lambda: running(tmp_path) == [])


def test_when_the_parent_of_the_victims_is_killed_the_test_fails(tmp_path: Path) -> None:
    with endless_test(tmp_path / "test") as process:
        [fork_server] = psutil.Process(process.pid).children()
        fork_server.kill()
        _, output = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "fork-server.log" in output
        wait_until(lambda: running(tmp_path) == [])

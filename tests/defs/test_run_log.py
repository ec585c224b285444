"""A run's event log: many lines, few events, nothing lost."""

from __future__ import annotations

import logging
import threading

import pytest

from timestore_pipeline.defs.run_logs import RunLog


@pytest.fixture
def log() -> RunLog:
    logger = logging.getLogger("run")
    logger.setLevel(logging.DEBUG)
    return RunLog(logger)


def test_lines_wait_for_each_other_and_for_the_end(log: RunLog, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        log.log(logging.INFO, "line %d", number)
    assert not caplog.records
    log.close()
    assert [event.getMessage() for event in caplog.records] == ["line 0\nline 1\nline 2"]


def test_a_warning_is_written_at_once_after_what_was_said_before(log: RunLog, caplog: pytest.LogCaptureFixture) -> None:
    log.log(logging.INFO, "before")
    log.log(logging.WARNING, "careful")
    assert [(event.levelname, event.getMessage()) for event in caplog.records] == [
        ("INFO", "before"),
        ("WARNING", "careful"),
    ]


def test_lines_wait_a_few_seconds_only(
    log: RunLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.log(logging.INFO, "first")
    monkeypatch.setattr("timestore_pipeline.defs.run_logs._EVERY", 0.0)
    log.log(logging.INFO, "second")
    assert [event.getMessage() for event in caplog.records] == ["first\nsecond"]


def test_an_event_does_not_grow_for_ever(
    log: RunLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timestore_pipeline.defs.run_logs._MOST_LINES", 2)
    for number in range(4):
        log.log(logging.INFO, "%d", number)
    assert [event.getMessage() for event in caplog.records] == ["0\n1", "2\n3"]


def test_what_another_thread_says_is_written_by_the_runs_own(log: RunLog, caplog: pytest.LogCaptureFixture) -> None:
    other = threading.Thread(target=log.log, args=(logging.WARNING, "from afar"))
    other.start()
    other.join()
    assert not caplog.records
    log.log(logging.WARNING, "from here")
    assert [event.getMessage() for event in caplog.records] == ["from afar\nfrom here"]

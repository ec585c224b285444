"""A log line says the same as text and as JSON, wherever it is sent."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from timestore_pipeline.monitoring.telemetry.logs import (
    PACKAGE,
    LineFormatter,
    forwarded,
    log_to_stderr,
    warn_of_unknown_variables,
)
from timestore_pipeline.settings import LogFormat, LogLevel, Settings
from timestore_pipeline.system.legible import LogEvent

EVENT = LogEvent(
    "flush published", dataset="weather", rows=30, hint='say "no"\nand = wait', took=timedelta(seconds=1.5)
)


@pytest.fixture(autouse=True)
def _logger_as_before() -> Iterator[None]:
    logger = logging.getLogger(PACKAGE)
    before = (logger.level, logger.propagate, list(logger.handlers))
    yield
    logger.level, logger.propagate, logger.handlers[:] = before


def record(event: object = EVENT, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord(f"{PACKAGE}.flush", level, __file__, 1, "%s", (event,), None)


def settings(home: Path, form: LogFormat = "logfmt", level: LogLevel = "info") -> Settings:
    return Settings.build(home=home, log_format=form, log_level=level)


def test_fields_are_text_that_can_be_taken_apart_again() -> None:
    text = LineFormatter("logfmt").format(record())
    assert 'level=info logger=timestore_pipeline.flush event="flush published" dataset=weather rows=30' in text
    assert text.endswith(r'hint="say \"no\"\nand = wait" took=1.5')


def test_json_is_one_object_a_line() -> None:
    document = json.loads(LineFormatter("json").format(record()))
    assert document["time"].endswith("+00:00")
    del document["time"]
    assert document == {
        "level": "info",
        "logger": "timestore_pipeline.flush",
        "event": "flush published",
        "dataset": "weather",
        "rows": 30,
        "hint": 'say "no"\nand = wait',
        "took": 1.5,
    }


HOSTILE = [
    "\x1b[2Jgone",
    "a\x9b2Jb",
    "one\u2028two",
    "one\x85two",
    "caf\udce9",
    'a" b="c',
    "x\r\nlevel=error",
    "back\\",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_what_a_hostile_error_holds_stays_one_printable_line_and_can_be_read_back(form: LogFormat, text: str) -> None:
    line = LineFormatter(form, stamped=False).format(record(LogEvent("x", error=text)))
    assert line.isprintable()
    found = json.loads(line)["error"] if form == "json" else json.loads(line.removeprefix("event=x error="))
    assert found == text


def test_a_line_that_is_no_event_is_one_all_the_same() -> None:
    assert json.loads(LineFormatter("json", stamped=False).format(record("nothing special"))) == {
        "event": "nothing special"
    }


def test_fields_that_are_none_are_omitted() -> None:
    assert str(LogEvent("x", known=1, unknown=None)) == "x known=1"


def test_standard_error_gets_each_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    for _ in range(2):
        log_to_stderr(settings(tmp_path, "json"))
    logging.getLogger(f"{PACKAGE}.flush").info("%s", EVENT)
    assert [json.loads(line)["dataset"] for line in written.getvalue().splitlines()] == ["weather"]


def test_the_level_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    log_to_stderr(settings(tmp_path, level="warning"))
    logging.getLogger(f"{PACKAGE}.flush").info("%s", EVENT)
    assert written.getvalue() == ""


def test_another_logger_gets_lines_while_it_wants_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ours, target = logging.getLogger(f"{PACKAGE}.flush"), logging.getLogger("elsewhere")
    with forwarded(target, settings(tmp_path)):
        ours.info("%s", EVENT)
    ours.info("%s", EVENT)
    told = [one.getMessage() for one in caplog.records if one.name == "elsewhere"]
    assert len(told) == 1
    assert told[0].startswith('event="flush published" dataset=weather')


def test_a_misspelt_variable_is_warned_of_once_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_AGE", "30000")
    logging.getLogger(PACKAGE).propagate = True
    warn_of_unknown_variables()
    warn_of_unknown_variables()
    [message] = caplog.messages
    assert "TIMESTORE_STAGING_FLUSH_MAX_AGE is no setting" in message
    assert "did you mean TIMESTORE_STAGING_FLUSH_MAX_AGE_MS?" in message

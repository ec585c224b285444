"""What a producer names or writes reaches no terminal and no log as anything but text."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from timestore_pipeline.cli.app import app
from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.monitoring.telemetry.logs import LineFormatter
from timestore_pipeline.settings import Settings
from timestore_pipeline.system.legible import LogEvent, is_legible, legible, legible_json

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202egpj\u2066\u2028\u3164\x00\x7f\U000e0041[red]"
COLUMN = HOSTILE.replace("\x00", "")


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path))
    monkeypatch.setenv("TIMESTORE_LANDING_DIRECTORY", str(landing))
    monkeypatch.setenv("TIMESTORE_LANDING_SETTLE_MS", "0")


def shown(*arguments: str | Path) -> str:
    """What a command prints on both streams, each line of it legible."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    for line in result.output.split("\n"):
        assert is_legible(line), line
    return result.output


def stage(rows: dict[str, list[object]]) -> None:
    with StagingManager.open(Settings.from_env()) as staging:
        staging.enqueue("weather", pa.table(rows))


def test_cells_and_column_names() -> None:
    stage({"n": [1], COLUMN: [HOSTILE]})
    assert "\\x1b]0;owned\\x07" in shown("query", "FROM weather")
    [row] = json.loads(shown("query", "FROM weather", "--json"))
    assert row == {"n": 1, COLUMN: HOSTILE}
    assert "[red]" in shown("datasets", "show", "weather")
    shown("status", "weather")
    shown("explain", "weather")


def test_names_of_files_and_what_libraries_say_of_them(tmp_path: Path, landing: Path) -> None:
    name = HOSTILE.replace("\x00", "") + os.fsdecode(b"\xff")
    for hostile in (tmp_path / f"{name}.csv", tmp_path / f"{name}.parquet"):
        hostile.write_text(f'a,"{HOSTILE}\n')
        assert "unreadable_input" in shown("ingest", "weather", hostile)
    (landing / "weather").mkdir()
    (landing / "weather" / f"{name}.parquet").write_text(HOSTILE)
    with (landing / "weather" / f"{name}2.parquet").open("wb") as file:
        pq.write_table(pa.table({HOSTILE: [1], HOSTILE.upper(): ["x"]}), file)
    (landing / f"{name}.d").mkdir()
    (landing / "weather" / f"{name}.link").symlink_to("nowhere")
    for command in ("ingest", "status"):
        told = shown("landing", command)
        json.loads(shown("landing", command, "--json"))
    assert "it is a link" in told


def test_reasons_that_lie_beside_rejected_files(landing: Path) -> None:
    (landing / "_rejected" / "weather").mkdir(parents=True)
    (landing / "_rejected" / "weather" / "a.csv").write_text("n\n")
    for reason in ({"message": HOSTILE, "code": HOSTILE, "hint": [HOSTILE]}, [HOSTILE], {}, "[" * 100_000):
        text = reason if isinstance(reason, str) else json.dumps(reason)
        (landing / "_rejected" / "weather" / "a.csv.reason.json").write_text(text)
        assert "a.csv" in shown("landing", "status")


def test_metadata_and_what_is_wrong_with_it() -> None:
    stage({"n": [1]})
    shown("datasets", "set", "weather", json.dumps({"description": HOSTILE}))
    shown("datasets", "set", "weather", json.dumps({HOSTILE: 1}))
    shown("datasets", "show", "weather")
    shown("query", f"SELECT '{HOSTILE[:-6].replace(chr(0), '')}' AS x, * FROM nothing")


@contextlib.contextmanager
def logging_errors(log: logging.Logger) -> Iterator[None]:
    try:
        yield
    except InvalidData:
        log.exception("failed")
        raise


@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_logs(style: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("json" if style == "json" else "logfmt"))
    log = logging.getLogger("hostile")
    log.handlers = [handler]
    log.propagate = False
    log.warning("%s", LogEvent(HOSTILE, file=HOSTILE))
    log.warning("%s of %s", HOSTILE, HOSTILE)
    with contextlib.suppress(InvalidData), logging_errors(log):
        raise InvalidData(HOSTILE, hint=HOSTILE)
    lines = stream.getvalue().split("\n")
    assert len(lines) == 4
    assert all(is_legible(line) for line in lines)


def test_an_error_is_legible_wherever_it_is_told() -> None:
    error = InvalidData(HOSTILE, hint=HOSTILE)
    assert all(is_legible(text.replace("\n", "")) for text in (str(error), error.hint))


def test_text_that_people_write_stays_as_it_is() -> None:
    for text in ("Grüße 東京 שלום नमस्ते 👩‍👩‍👧 a\\b", "tab\\t"):
        assert legible(text) == text
    assert json.loads(legible_json(json.dumps({HOSTILE: HOSTILE}, ensure_ascii=False))) == {HOSTILE: HOSTILE}

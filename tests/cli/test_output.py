"""People and scripts each get what they can use, also when it goes wrong."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.running import ROOT, command, complaint, in_a_process, staged, timestore, timestore_json
from tests.docs.commands import summaries
from timestore_pipeline.cli.output import print_json
from timestore_pipeline.model.release import release
from timestore_pipeline.staging.ledger_format import FORMAT_VERSION

COMMANDS = [
    "ingest", "status", "explain", "advise", "flush", "drain", "pause", "resume", "flushes", "query", "verify",
    "recover", "maintain", "doctor", "metrics", "crashtest", "simulate", "serve", "tokens new", "tokens list",
    "datasets list", "datasets show", "datasets set", "datasets unset", "datasets retype", "datasets remove",
    "datasets apply", "datasets export",
    "datasets schema", "quarantine list", "quarantine show", "quarantine requeue", "quarantine discard",
    "landing status", "landing ingest", "landing replay", "legacy audit", "legacy import", "monitoring render",
]  # fmt: skip


def on_a_terminal(*arguments: str | Path, **environment: str) -> str:
    """What the process writes to a pseudo-terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"} | environment
    process = subprocess.Popen(command(*arguments), cwd=ROOT, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    output = io.BytesIO()
    try:
        while chunk := os.read(ours, 4096):
            output.write(chunk)
    except OSError:  # how Linux reports that the other side has closed
        pass
    finally:
        os.close(ours)
        process.wait()
    return output.getvalue().decode()


def test_the_commands_are_these() -> None:
    assert list(summaries()) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    output = timestore(*name.split(), "--help")
    assert f"  timestore {name}" in output.partition("Example")[2]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("metrics", "serve", "datasets schema")])
def test_every_command_that_prints_a_table_takes_json(name: str) -> None:
    assert "--json" in timestore(*name.split(), "--help")


def test_an_error_as_json_is_an_object_on_standard_output(home: Path) -> None:
    assert timestore_json("explain", "nowhere", code=1) == {
        "error": {
            "code": "unknown_dataset",
            "message": "there is no dataset 'nowhere'",
            "dataset": "nowhere",
            "hint": "known datasets: none yet",
        }
    }
    assert complaint("explain", "nowhere", "--json") == ""


def test_wrong_settings_are_wrong_usage(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_PENDING", "none")
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_ROWS", "-1")
    message = complaint("status", code=2)
    assert "TIMESTORE_STAGING_MAX_PENDING='none'" in message
    assert "TIMESTORE_STAGING_FLUSH_MAX_ROWS='-1'" in message
    assert timestore_json("verify", code=2)["error"]["code"] == "invalid_settings"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["nonsense"], ["explain"], ["status", "--nonsense"], ["drain", "--timeout", "x"]),
        *(["advise", "d", "--freshness-s", "inf"], ["flushes", "--most", "10000000000000000000"]),
    ],
)
def test_wrong_usage_is_exit_code_two(home: Path, arguments: list[str]) -> None:
    complaint(*arguments, code=2)


def test_a_directory_of_another_shard_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(home)
    monkeypatch.setenv("TIMESTORE_SHARD", "other")
    assert "[ledger_mismatch]" in complaint("status")


def test_a_process_fails_without_a_traceback(home: Path) -> None:
    done = in_a_process("explain", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no dataset 'nowhere' [unknown_dataset]\n")


def test_a_pipe_gets_no_colours(home: Path) -> None:
    staged(home)
    done = in_a_process("status")
    assert (done.returncode, "\x1b" in done.stdout) == (0, False)


def test_a_terminal_gets_colours_unless_it_says_no(home: Path) -> None:
    assert "\x1b[31m" in on_a_terminal("explain", "nowhere")
    assert "\x1b[31m" not in on_a_terminal("explain", "nowhere", NO_COLOR="1")


def test_a_terminal_gets_a_progress_bar(home: Path) -> None:
    [path] = staged(home)
    output = on_a_terminal("ingest", "weather", path, "--batch-rows", "1")
    assert "40/40" in output or "/40" in output
    assert "40 batches, 40 rows" in output


def test_a_narrow_terminal_goes_without_what_matters_least_and_breaks_no_name(home: Path) -> None:
    staged(home)
    timestore("flush", "weather", "--now")
    shown = on_a_terminal("flushes", COLUMNS="80", NO_COLOR="1")
    output = re.sub(r"\x1b\[\d*m", "", shown).splitlines()
    assert max(map(len, output)) <= 80
    assert output[0].split()[:4] == ["dataset", "epoch", "outcome", "trigger"]
    assert output[1].split()[:4] == ["weather", "1", "published", "manual"]
    assert output[2] == "left out on a narrow terminal: run, claimed"


def test_metrics_are_an_exposition(home: Path) -> None:
    staged(home)
    samples = [s for family in text_string_to_metric_families(timestore("metrics")) for s in family.samples]
    depth = {s.labels["metric"]: s.value for s in samples if s.name == "timestore_staging_queue_depth"}
    assert (depth["batches"], depth["rows"]) == (4, 40)


def test_json_keeps_its_letters(home: Path) -> None:
    timestore("datasets", "set", "weather", "description=Zürich")
    assert json.loads(in_a_process("datasets", "show", "weather", "--json").stdout)["metadata"] == {
        "description": "Zürich"
    }


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_json_is_json_whatever_the_output_can_encode(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(output, encoding=encoding, write_through=True))
    print_json({"file": "\udcff über.csv"})
    assert json.loads(output.getvalue()) == {"file": "\udcff über.csv"}


def test_a_number_that_no_incident_can_have_is_unknown(home: Path) -> None:
    assert timestore_json("quarantine", "show", str(10**20), code=1)["error"]["code"] == "unknown_incident"


def test_the_console_script_is_this_app() -> None:
    assert in_a_process("--help").stdout.startswith("Usage: timestore ")


def test_the_release_is_printed_with_the_format_of_the_ledger_also_under_a_broken_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_ROWS", "many")
    assert timestore("--version") == f"timestore {release()}, format of the ledger {FORMAT_VERSION}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["query", "--json", "--published-only", "FROM range(9)"]])
def test_a_full_disk_under_the_answer_is_said_in_one_line(arguments: list[str]) -> None:
    asked = command(*arguments)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(asked, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_reader_who_has_seen_enough_hears_no_complaint(buffered: str) -> None:
    asked = command("query", "--json", "--published-only", "FROM range(100000)")
    environment = os.environ | {"PYTHONUNBUFFERED": buffered}
    with subprocess.Popen(
        asked, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == '[{"range": 0},\n'
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 1)


def test_a_closed_standard_output_is_nowhere() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command("status", "--json")], cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")

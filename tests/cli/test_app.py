"""What is said of a command before it is imported is true, and no other command is imported with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import ROOT, complaint, staged, timestore
from timestore_pipeline.cli.app import COMMANDS, TASKS, load

HEAVY = {"pyarrow", "duckdb", "deltalake", "dagster", "prometheus_client", "numpy", "asyncio"}

_TOLD = """
import atexit, sys
atexit.register(lambda: print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
from timestore_pipeline.cli import main
main()
"""


def imported(*arguments: str, **environment: str) -> set[str]:
    """The packages that a command has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", _TOLD, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_the_first_line_of_its_help(name: str) -> None:
    assert COMMANDS[name].summary == load(name).help.partition("\n")[0]


def test_all_commands_are_listed_by_task_with_their_whole_summaries() -> None:
    assert sorted(name for names in TASKS.values() for name in names) == sorted(COMMANDS)
    listed = timestore("--help").partition("Stage rows:")[2]
    words = " ".join(listed.split())
    assert "..." not in words
    assert all(f"{title}:" in f"Stage rows:{listed}" for title in TASKS)
    assert all(f"{name} {command.summary}" in words for name, command in COMMANDS.items())


def test_a_group_lists_its_commands_with_their_whole_summaries() -> None:
    words = " ".join(timestore("datasets", "--help").split())
    assert "unset Remove keys from a dataset's metadata, so that the defaults hold again. retype" in words


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_what_is_said_of_all_commands_imports_none(argument: str) -> None:
    assert imported(argument) & (HEAVY | {"pydantic", "sqlite3", "rich"}) == set()


def test_completion_of_a_commands_name_imports_none() -> None:
    words = {"_TIMESTORE_COMPLETE": "complete_bash", "COMP_WORDS": "timestore ex", "COMP_CWORD": "1"}
    assert imported(**words) & (HEAVY | {"sqlite3", "rich"}) == set()


@pytest.mark.parametrize("arguments", [("status",), ("status", "--help"), ("status", "--json")])
def test_looking_at_the_queue_imports_no_engine(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) & HEAVY == set()


@pytest.mark.parametrize("arguments", [("status", "weather"), ("explain", "weather"), ("flushes",)])
def test_looking_at_one_dataset_imports_no_engine(home: Path, arguments: tuple[str, ...]) -> None:
    staged(home)
    assert imported(*arguments) & {"pyarrow", "duckdb", "deltalake", "dagster"} == set()


def test_a_command_that_is_none_is_said_to_be_none() -> None:
    assert "No such command 'statis'. Did you mean 'status'?" in complaint("statis", code=2)

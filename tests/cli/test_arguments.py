"""The shell is offered commands, and datasets where one is named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.cli.running import ROOT, command, staged
from timestore_pipeline.cli.arguments import dataset_names


def completed(line: str) -> list[str]:
    """What bash would offer behind these words."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_TIMESTORE_COMPLETE": "complete_bash"}
    done = subprocess.run(command(), cwd=ROOT, env=os.environ | words, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_are_offered() -> None:
    assert completed("timestore ex") == ["explain"]


def test_datasets_are_offered_where_one_is_named(home: Path) -> None:
    staged(home)
    assert completed("timestore explain we") == ["weather"]


def test_names_are_those_that_begin_like_that(home: Path) -> None:
    staged(home)
    assert (dataset_names("w"), dataset_names("x")) == (["weather"], [])


def test_without_a_ledger_nothing_is_offered_and_nothing_made(home: Path) -> None:
    assert dataset_names("") == []
    assert list(home.iterdir()) == []


def test_a_damaged_ledger_offers_nothing(home: Path) -> None:
    (home / "staging").mkdir()
    (home / "staging" / "ledger.sqlite").write_text("no database at all")
    assert dataset_names("") == []

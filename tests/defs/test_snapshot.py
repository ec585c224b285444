"""What the code location offers, compared with a text that a reviewer reads."""

from __future__ import annotations

from pathlib import Path

from tests.defs.snapshot import SNAPSHOT, snapshot


def test_the_definitions_are_the_ones_that_were_agreed_on(home: Path) -> None:
    now = snapshot(home)
    assert now == SNAPSHOT.read_text(), "if that is meant: python -m tests.defs.snapshot"

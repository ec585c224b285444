"""Every command of the app is on the page, with a capture and the summary that its help has."""

from __future__ import annotations

import re

from typer.main import get_command

from tests.docs.documents import ROOT
from timestore_pipeline.cli.app import app

PAGE = (ROOT / "docs" / "command-line.md").read_text()


def summaries() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        named = {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
        found |= {full: (one.help or "").partition("\n")[0] for full, one in named.items()}
    return found


def test_every_command_has_its_summary_and_a_capture() -> None:
    """After a change of the commands: `scripts/captures.py`, which wants a scene for each."""
    sections = dict(re.findall(r"^## timestore ([a-z ]+)\n\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert sections.keys() == summaries().keys()
    for name, summary in summaries().items():
        assert sections[name].startswith(summary), name
        assert re.search(rf"^\$ .*timestore {name}\b", sections[name], re.MULTILINE), name


def test_no_capture_shows_a_traceback_or_a_place_of_the_machine_that_made_it() -> None:
    assert re.search(r"Traceback|/root/|\x1b", PAGE) is None

"""Every command of the app is on the page, with a capture and the summary that its help has."""

from __future__ import annotations

import re

from tests.docs.commands import summaries
from tests.docs.documents import ROOT

PAGE = (ROOT / "docs" / "command-line.md").read_text()


def test_every_command_has_its_summary_and_a_capture() -> None:
    """After a change of the commands: `scripts/captures.py`, which wants a scene for each."""
    sections = dict(re.findall(r"^## timestore ([a-z ]+)\n\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert sections.keys() == summaries().keys()
    for name, summary in summaries().items():
        assert sections[name].startswith(summary), name
        assert re.search(rf"^\$ .*timestore {name}\b", sections[name], re.MULTILINE), name


def test_no_capture_shows_a_traceback_or_a_place_of_the_machine_that_made_it() -> None:
    assert re.search(r"Traceback|/root/|\x1b", PAGE) is None

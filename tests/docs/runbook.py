"""The runbook's commands as data: every block marked `sh`, under its heading, in the order of the page."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.docs.documents import ROOT

RUNBOOK = ROOT / "docs" / "runbooks" / "timestore-staging-operations.md"

_PART = re.compile(r"^#{2,3} (?P<heading>.+?)$|^```sh\n(?P<block>.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """One heading with everything it tells an operator to type."""

    heading: str
    blocks: tuple[str, ...]


def steps() -> list[Step]:
    """Headings that have at least one block."""
    found: dict[str, list[str]] = {}
    heading = ""
    for part in _PART.finditer(RUNBOOK.read_text()):
        heading = part["heading"] or heading
        found.setdefault(heading, [])
        if part["block"] is not None:
            found[heading].append(part["block"])
    return [Step(heading, tuple(blocks)) for heading, blocks in found.items() if blocks]

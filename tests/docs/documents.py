"""The repository's documents as data: their text, links, anchors and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def documents() -> list[Path]:
    """Every Markdown file a reader is meant to find."""
    return sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))


def reference_text() -> str:
    """What describes the product as it is; decision records and the changelog may name what is gone."""
    current = [path for path in documents() if path.name != "CHANGELOG.md" and "decisions" not in path.parts]
    return "\n".join(path.read_text() for path in current)


def links(document: Path) -> Iterator[str]:
    """Targets inside this repository, as written; code blocks are not links."""
    for target in _LINK.findall(_FENCE.sub("", document.read_text())):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def anchors(document: Path) -> set[str]:
    """The fragment of every heading, by the rule the usual renderers share: lower case, no punctuation, dashes."""
    headings = _HEADING.findall(_FENCE.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

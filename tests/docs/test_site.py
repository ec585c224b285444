"""The site: every document is found in its navigation, and its check of references finds what is broken."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from scripts.build_site import problems
from tests.docs.documents import ROOT, documents, links

DECISIONS = ROOT / "docs" / "decisions"
PAGE = """<html><head><link rel="stylesheet" href="look.css"></head><body>
<h2 id="here">A</h2><img src="picture.png"><a href="{target}">x</a>{more}</body></html>"""


def test_every_document_is_in_the_navigation_once() -> None:
    """Decision records have an index of their own."""
    named = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = [str(path.relative_to(ROOT)) for path in documents() if not re.match(r"\d{4}-", path.name)]
    assert Counter(named) == Counter(pages)


def test_every_decision_record_is_in_their_index_once() -> None:
    records = [path.name for path in DECISIONS.glob("[0-9]*.md")]
    assert Counter(target for target in links(DECISIONS / "README.md") if target[0].isdigit()) == Counter(records)


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_list_begins_after_an_empty_line_and_nests_by_four_columns(document: Path) -> None:
    """Code hosts are lenient; the site would print such a list as running text."""
    item = re.compile(r"( *)(?:[-*]|\d{1,2}\.) ")
    before = ""
    for line in re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL).splitlines():
        if found := item.match(line):
            assert len(found[1]) % 4 == 0, line
            assert not before or before.startswith(("#", " ")) or item.match(before), line
        before = line


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_is_wrapped_at_120_characters(document: Path) -> None:
    """Tables and code keep their lines."""
    prose = re.sub(r"^```.*?^```$|^\|.*?$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in prose.splitlines() if len(line) > 120] == []


@pytest.mark.parametrize("record", sorted(DECISIONS.glob("[0-9]*.md")), ids=lambda path: path.name[:4])
def test_a_decision_record_has_the_parts_that_contributors_are_asked_for(record: Path) -> None:
    parts = re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
    assert {"Problem", "Decision", "Rejected", "How it is tested"} - set(parts) == set()


@pytest.mark.parametrize(
    ("target", "more", "found"),
    [
        ("other.html#there", "", None),
        ("#here", "", None),
        ("folder/", "", None),
        ("https://delta.io", "", None),
        ("mailto:a@b", "", None),
        ("missing.html", "", "index.html: missing.html leads nowhere"),
        ("#nowhere", "", "index.html: #nowhere leads nowhere"),
        ("other.html#here", "", "index.html: other.html#here leads nowhere"),
        ("empty/", "", "index.html: empty/ leads nowhere"),
        ("#here", '<img src="lost.png">', "index.html: lost.png leads nowhere"),
        (
            "#here",
            '<script src="https://a.b/c.js"></script>',
            "index.html: https://a.b/c.js would be loaded from another host",
        ),
        ("#here", '<script src="//a.b/c.js"></script>', "index.html: //a.b/c.js would be loaded from another host"),
    ],
)
def test_a_reference_that_leads_nowhere_or_to_another_host_is_found(
    tmp_path: Path, target: str, more: str, found: str | None
) -> None:
    _write_site(tmp_path, PAGE.format(target=target, more=more))
    assert list(problems(tmp_path)) == ([found] if found else [])


def test_a_style_sheet_that_loads_from_another_host_is_found(tmp_path: Path) -> None:
    _write_site(tmp_path, PAGE.format(target="#here", more=""))
    (tmp_path / "look.css").write_text("@font-face { src: url(https://a.b/c.woff2) }")
    assert list(problems(tmp_path)) == ["look.css: loads something from another host"]


def _write_site(html: Path, front: str) -> None:
    for name in ("folder", "empty"):
        (html / name).mkdir()
    (html / "index.html").write_text(front)
    (html / "folder" / "index.html").write_text("<p>a page</p>")
    (html / "other.html").write_text('<h2 id="there">B</h2>')
    (html / "look.css").write_text("h2 { color: black }")
    (html / "picture.png").write_bytes(b"")

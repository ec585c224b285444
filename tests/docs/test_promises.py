"""Each promise about monitoring, and each sentence of the specification, names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.documents import ROOT

PAGE = ROOT / "docs" / "monitoring-promises.md"
SENTENCES = ROOT / "docs" / "specification.md"
SPECIFICATION = sorted((ROOT / "tests" / "docs" / "specification").glob("*.md"))

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_MARK = re.compile(r"^(- |\d+\. )")
_END = re.compile(r"(?<=\.) (?=[A-Z])")


def promises(page: Path) -> list[str]:
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith(("| promise |", "| sentence |"))]


def sentences(document: Path) -> list[str]:
    """In order, without headings and the marks of lists."""
    lines = [line.strip() for line in document.read_text().splitlines()]
    texts = [_MARK.sub("", line) for line in lines if line and not line.startswith("#")]
    return [sentence for text in texts for sentence in _END.split(text)]


@pytest.mark.parametrize(
    "promise", [*promises(PAGE), *promises(SENTENCES)], ids=lambda line: line.split("|")[1].strip()[:60]
)
def test_a_promise_is_held_by_tests_that_exist(promise: str) -> None:
    named = _TEST.findall(promise)
    assert named
    missing = [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_every_sentence_of_the_specification_is_there_word_for_word() -> None:
    assert len(SPECIFICATION) == 2
    listed = [line.removeprefix("| ").split(" | `tests/")[0] for line in promises(SENTENCES)]
    assert listed == [sentence for document in SPECIFICATION for sentence in sentences(document)]

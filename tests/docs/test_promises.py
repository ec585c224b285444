"""Each promise about monitoring names tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.docs.documents import ROOT

PAGE = ROOT / "docs" / "monitoring-promises.md"

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def promises() -> list[str]:
    return [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("promise", promises(), ids=lambda line: line.split("|")[1].strip()[:60])
def test_a_promise_is_held_by_tests_that_exist(promise: str) -> None:
    named = _TEST.findall(promise)
    assert named
    missing = [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []

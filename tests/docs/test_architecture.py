"""docs/architecture.md sends a newcomer to files and functions that exist."""

from __future__ import annotations

import re

from tests.docs.documents import ROOT

PACKAGE = ROOT / "timestore_pipeline"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_file_named_exists() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_/]+(?:\.py|/))`", PAGE)
    assert [name for name in named if not (PACKAGE / name).exists()] == []


def test_every_passage_is_where_the_page_says() -> None:
    passages = re.findall(r"`([\w.]+)` in `([\w/]+\.py)`", PAGE)
    assert len(passages) == 5
    for function, file in passages:
        text = (PACKAGE / file).read_text()
        assert re.search(rf"^ *def {function.rpartition('.')[2]}\(", text, re.MULTILINE), file
        assert text.count("\n") <= 250, f"{file} is too long to be read in one go"

"""docs/performance.md against the benchmark, and the page of figures against the figures that it was written from."""

from __future__ import annotations

import re

import pytest

from benchmarks.contenders import contenders
from benchmarks.figures import MEASURES, Results
from benchmarks.report import PLOTS, limit, page
from benchmarks.targets import GROUPS, QUICK, Target
from tests.docs.documents import ROOT

PAGE = (ROOT / "docs" / "performance.md").read_text()
FIGURES = ROOT / "docs" / "performance-figures.json"
TARGETS = [target for group in (*GROUPS, *QUICK) for target in group.targets]


def _rows(heading: str) -> list[list[str]]:
    """Of all tables below a heading of the second level, without their heads."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [row for row in cells if row[0] not in ("target", "contender") and not row[0].startswith("---")]


def test_every_target_is_listed_with_its_limit() -> None:
    assert _rows("Targets") == [[target.name, limit(target)] for group in GROUPS for target in group.targets]


def test_targets_are_listed_below_the_headings_of_their_groups() -> None:
    listed = re.findall(r"^\*\*(.+)\*\*$", PAGE, re.MULTILINE)
    assert [heading for heading in listed if "." not in heading] == [group.heading for group in GROUPS]


def test_every_contender_is_listed() -> None:
    assert _rows("Who takes part") == [[known.title, known.durable] for known in contenders().values()]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.figure)
def test_a_target_names_figures_that_can_be_compared(target: Target) -> None:
    part, case, _, measure = target.figure.split(".")
    assert measure in MEASURES
    if target.beside:
        other_part, other_case, _, other_measure = target.beside.split(".")
        assert (other_part, other_case, other_measure) == (part, case, measure)


def test_the_page_of_figures_is_what_was_measured() -> None:
    results = Results.load(FIGURES)
    assert FIGURES.with_suffix(".md").read_text() == page(results)
    assert all((ROOT / "docs" / "images" / plot).exists() for plot in PLOTS if results.figures)

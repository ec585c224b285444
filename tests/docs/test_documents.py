"""What is written twice is the same: documents against code, links against files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from benchmarks.capacity import FLUSHED, STAGED
from tests.docs.documents import README, ROOT, anchors, documents, links, reference_text
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.settings import Settings, variable


def _documented_variables() -> set[str]:
    # A trailing underscore and star is a family (`TIMESTORE_STAGING_MAX_*`), not a variable.
    return set(re.findall(r"\bTIMESTORE_[A-Z_]*[A-Z]\b(?!_?\*)", reference_text()))


def _error_classes(base: type[TimestoreError] = TimestoreError) -> Iterator[type[TimestoreError]]:
    yield base
    for child in base.__subclasses__():
        yield from _error_classes(child)


def test_every_setting_is_documented() -> None:
    assert {variable(field) for field in Settings.model_fields} - _documented_variables() == set()


def test_every_documented_variable_is_a_setting() -> None:
    assert _documented_variables() - {variable(field) for field in Settings.model_fields} == set()


def test_readme_leads_with_the_demo_and_the_tests() -> None:
    first_code_block = README.read_text().split("```")[1]
    assert "make demo" in first_code_block
    assert "make test" in first_code_block


def test_every_target_that_a_document_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)\b|^make ([a-z]+)\b", reference_text(), re.MULTILINE))
    assert {first or second for first, second in named} - targets == set()


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = [target for target in links(document) if not _resolves(document, target)]
    assert broken == []


def _resolves(document: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (document.parent / path).resolve() if path else document
    return file.exists() and (not anchor or anchor in anchors(file))


def test_the_page_on_sizing_has_a_row_for_whatever_the_benchmark_measures() -> None:
    page = (ROOT / "docs" / "sizing.md").read_text()
    first_cells = re.findall(r"^\| ([\d,]+) \|", page, re.MULTILINE)
    assert [int(cell.replace(",", "")) for cell in first_cells] == [*STAGED, *FLUSHED]


def test_every_error_class_has_a_code_of_its_own() -> None:
    owners = Counter(error.__dict__.get("code", f"{error.__name__} has none") for error in set(_error_classes()))
    assert [code for code, count in owners.items() if count > 1 or "has none" in code] == []


def test_every_finding_of_the_audit_is_explained() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "timestore_pipeline" / "recovery").glob("*.py"))
    codes = set(re.findall(r'Finding\(\s*"([a-z_]+)"', source)) | {
        "totals_differ",
        "unreadable_segment",
        "unreadable_table",
    }
    explained = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / "verify.md").read_text(), re.MULTILINE))
    assert codes ^ explained == set()


def test_no_example_has_a_column_that_a_query_would_have_to_quote() -> None:
    """As `at`, which DuckDB reserves: the first query of a reader who copied the example would fail."""
    with duckdb.connect() as engine:
        keywords = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
        reserved = {name for (name,) in engine.execute(keywords).fetchall()}
    blocks = "\n".join(re.findall(r"^```.*?^```", README.read_text() + reference_text(), re.MULTILINE | re.DOTALL))
    columns = re.findall(r'[{(,]\s*"(\w+)": ?[\w\[(]|"(\w+)":"|pl\.col\("(\w+)"\)| AS (\w+),', blocks)
    columns += re.findall(
        r"columns: \{(\w+): |printf '(\w+),|^ +(\w+): timestamp$|timeColumn[:=] ?(\w+)", blocks, re.MULTILINE
    )
    named = {name for found in columns for name in found} - {""}
    assert {"measured_at", "station", "wind"} <= named
    assert "at" in reserved
    assert named & reserved == set()

"""Names and texts of any kind reach DuckDB as they are."""

from __future__ import annotations

import duckdb
import pytest

from timestore_pipeline.model.sql_types import literal, quote

ODD = ["it's", 'say "no"', "", "a\\'b", "null; --"]


@pytest.mark.parametrize("text", ODD)
def test_a_literal_is_its_text(text: str) -> None:
    assert duckdb.execute(f"SELECT {literal(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("name", [name for name in ODD if name])
def test_a_quoted_name_is_that_name(name: str) -> None:
    assert duckdb.execute(f"SELECT 1 AS {quote(name)}").description[0][0] == name

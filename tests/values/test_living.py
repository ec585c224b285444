"""A table after random evolution opens and reads the same in deltalake, DataFusion, Polars and DuckDB."""

from __future__ import annotations

from tests.values.living import walk


def test_a_table_reads_the_same_everywhere_after_random_evolution() -> None:
    counts = walk(steps=150, seconds=600, first_seed=1)
    assert counts["looked at"] > 5

"""A lake in a temporary folder and a DuckDB connection to export from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from timestore_pipeline.lake.table import Lake, LakeTable


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def table(lake: Lake) -> LakeTable:
    return lake.table("weather")


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture(scope="session")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """For the many examples of one test, each with a cursor of its own; to connect anew costs more than an example."""
    with duckdb.connect() as connection:
        yield connection

"""Results of queries over the numbered rows that `tests.flush.conftest.hourly` makes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from timestore_pipeline import Settings
from timestore_pipeline.wiring import Timestore, read_published


def table(store: Timestore, sql: str) -> pa.Table:
    """An answer that leaves nothing out."""
    with store.query(sql) as answer:
        assert answer.notes == []
        return answer.rows.read_all()


def ask(store: Timestore, sql: str) -> list[dict[str, Any]]:
    """Its rows."""
    rows: list[dict[str, Any]] = table(store, sql).to_pylist()
    return rows


def numbers(store: Timestore, dataset: str = "d") -> list[int]:
    """In order, doubles included."""
    return [row["n"] for row in ask(store, f'SELECT n FROM "{dataset}" ORDER BY n')]


def published_numbers(settings: Settings) -> list[int]:
    with read_published(settings, "SELECT n FROM d ORDER BY n") as answer:
        return [row["n"] for row in answer.rows.read_all().to_pylist()]

"""Rows to stage, ways to damage staged files, and helpers for the audit."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from timestore_pipeline.recovery.findings import DatasetAudit, Finding
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore


def readings(rows: int) -> pa.Table:
    """Rows of two days, half each."""
    times = [datetime(2013, 1, 1 + n % 2, tzinfo=UTC) + timedelta(minutes=n) for n in range(rows)]
    return pa.table({"at": pa.array(times, pa.timestamp("us", "UTC")), "value": [float(n) for n in range(rows)]})


def audited(store: Timestore, *, repair: bool = False) -> DatasetAudit:
    """The audit of the dataset `weather`."""
    [audit] = verify(store.area, store.lake, ["weather"], repair=repair).datasets
    return audit


def codes(findings: Sequence[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def alter_ledger(store: Timestore, statement: str) -> None:
    """Change the ledger the way the product never would."""
    connection = sqlite3.connect(store.area.directory.ledger)
    with connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()


def segment(store: Timestore) -> Path:
    """The one segment file of the dataset."""
    [path] = store.area.directory.segment_folder("weather").glob("*.duckdb")
    return path


def alter_segment(path: Path, statement: str) -> None:
    with duckdb.connect(path) as connection:
        connection.execute(statement)
